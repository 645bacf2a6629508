-- What is known of files, uploads and the parts of uploads. Written by files/ of the gateway; their content is in the object store: a file's
-- under its id, a part's under `<upload>/<part>`.
--
-- Ids begin with the time of their making, so that their order is that in which they were made; by bytes, whatever language the database sorts by.

create table if not exists files (
  id text collate "C" primary key,
  -- Whose it is: a key's id, and empty where there are no keys.
  key_id text not null,
  -- pending: its content is on its way. ready: it is there, whole. removing: nobody sees it any more, and its content goes before this row.
  state text not null check (state in ('pending', 'ready', 'removing')),
  -- Null while it is pending: a form may tell both behind the content.
  filename text,
  purpose text,
  -- Of its content; while it is pending, what was promised.
  bytes bigint not null,
  -- Of its content, in hexadecimal digits. Null while it is pending.
  sha256 text,
  created_at timestamptz not null default clock_timestamp(),
  -- Null: never. Of one that is pending, when it counts as left behind.
  expires_at timestamptz
);

create index if not exists files_of_key on files (key_id, id);
create index if not exists files_expiring on files (expires_at) where expires_at is not null;
create index if not exists files_removing on files (id) where state = 'removing';

create table if not exists uploads (
  id text collate "C" primary key,
  key_id text not null,
  -- completing: its file is being put together by whoever `completing_by` names, for as long as they renew their lease.
  state text not null check (state in ('pending', 'completing', 'completed', 'cancelled')),
  filename text not null,
  purpose text not null,
  mime_type text not null,
  -- What was promised.
  bytes bigint not null,
  -- Of its file, once that is there; null: by default.
  expires_after_seconds integer,
  created_at timestamptz not null default clock_timestamp(),
  -- Until when it takes parts and can be completed.
  expires_at timestamptz not null,
  completing_by text,
  lease_expires_at timestamptz,
  -- How it was completed, so that asking again is told the same.
  file_id text,
  part_ids text[]
);

create index if not exists uploads_of_key on uploads (key_id, id);
create index if not exists uploads_expiring on uploads (expires_at);

create table if not exists upload_parts (
  id text collate "C" primary key,
  upload_id text not null references uploads (id) on delete cascade,
  state text not null check (state in ('pending', 'ready')),
  -- Of its content; while it is pending, as much as it may become.
  bytes bigint not null,
  created_at timestamptz not null default clock_timestamp()
);

create index if not exists upload_parts_of_upload on upload_parts (upload_id);
