-- OpenAI's vector stores: what is in them, how far it has been read, and the text of their chunks. Vectors are where qdrantUrl or, without
-- one, 003_vectors.sql says; their files are in 006_files.sql, and may be gone while their texts are still here.
--
-- Ids begin with the time of their making, so that their order is that in which they were made; by bytes, whatever language the database sorts by.

create table if not exists vector_stores (
  id text collate "C" primary key,
  -- Whose it is: a key's id, and empty where there are no keys.
  key_id text not null,
  name text not null,
  description text,
  metadata jsonb not null,
  -- By which it makes vectors, and how long those are; null until its first file or its maker says so, and never changed after that.
  embedding_model text,
  dimension integer,
  expires_after_days integer,
  last_active_at timestamptz not null default clock_timestamp(),
  -- Since when everything in it is gone, or is going.
  expired_at timestamptz,
  deleted_at timestamptz,
  created_at timestamptz not null default clock_timestamp()
);

create index if not exists vector_stores_of_key on vector_stores (key_id, id) where deleted_at is null;
create index if not exists vector_stores_expiring on vector_stores (last_active_at)
  where expires_after_days is not null and expired_at is null and deleted_at is null;
create index if not exists vector_stores_deleted on vector_stores (deleted_at) where deleted_at is not null;

create table if not exists vector_store_files (
  -- Of this file in this store, this time: attached again after it was deleted it is another, so that what goes and what comes do not meet.
  id text collate "C" primary key,
  store_id text not null references vector_stores (id),
  key_id text not null,
  file_id text not null,
  filename text not null,
  -- 'in_progress', 'completed', 'cancelled', 'failed' or 'deleted'.
  status text not null,
  attributes jsonb not null,
  -- As they were asked for; null: as suits the model.
  chunk_tokens_asked integer,
  overlap_tokens_asked integer,
  -- As they are, from when it was cut into chunks.
  chunk_tokens integer,
  overlap_tokens integer,
  -- How many it was cut into; null until all of them are in vector_store_chunks. The first chunks_done of them have their vectors.
  chunks integer,
  chunks_done integer not null default 0,
  usage_bytes bigint not null default 0,
  error_code text,
  error_message text,
  -- Whether chunks and vectors may be left of one that nobody will finish.
  has_remains boolean not null default false,
  -- Who works on it, and until when it is theirs unless they say again that it is.
  taken_by text,
  taken_until timestamptz,
  -- How often it was taken by somebody who never said how that went, how often it was put off, and not before when it is due.
  attempts integer not null default 0,
  delays integer not null default 0,
  not_before timestamptz not null default clock_timestamp(),
  created_at timestamptz not null default clock_timestamp()
);

create unique index if not exists vector_store_files_once on vector_store_files (store_id, file_id) where status <> 'deleted';
create index if not exists vector_store_files_listed on vector_store_files (store_id, id) where status <> 'deleted';
-- What there is to do. Most rows are done, and not in it.
create index if not exists vector_store_files_to_do on vector_store_files (not_before)
  where status = 'in_progress' or has_remains or status = 'deleted';

create table if not exists vector_store_chunks (
  entry_id text not null,
  number integer not null,
  text text not null,
  -- Of its first characters (of UTF-16), how many the chunk before ends with.
  overlap integer not null,
  primary key (entry_id, number)
);

create table if not exists vector_store_batches (
  id text collate "C" primary key,
  store_id text not null references vector_stores (id),
  cancelled_at timestamptz,
  created_at timestamptz not null default clock_timestamp()
);

create index if not exists vector_store_batches_of_store on vector_store_batches (store_id);

create table if not exists vector_store_batch_files (
  batch_id text not null,
  entry_id text not null,
  primary key (batch_id, entry_id)
);

create index if not exists vector_store_batch_files_of_entry on vector_store_batch_files (entry_id);
