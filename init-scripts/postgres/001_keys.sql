-- API keys. Read by keys/ of the gateway; a key itself is never stored, only its keyed digest.

create table if not exists keys (
  -- Public: it stands in the key itself, in records and in logs.
  id text primary key,
  name text not null,
  digest bytea not null,
  -- After a rotation: the digest of the key before, and until when it is still accepted.
  digest_former bytea,
  former_expires_at timestamptz,
  -- Ids, aliases, or beginnings that end in `*`; null: all models.
  models text[],
  limits jsonb not null default '{}',
  priority integer not null default 0,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz,
  revoked_at timestamptz,
  -- Null: as the setting logMessages says.
  log_messages boolean,
  -- The transaction that changed it last. Gateways ask for what was changed by transactions that were not over when they asked
  -- before: no clock is involved, and one that commits late is not missed.
  changed_in xid8 not null default pg_current_xact_id()
);

create index if not exists keys_changed_in on keys (changed_in);
create index if not exists keys_created_at on keys (created_at, id);

-- Also when a row is changed by hand.
create or replace function mark_key_changed() returns trigger language plpgsql as $$
begin
  new.changed_in := pg_current_xact_id();
  return new;
end
$$;

create or replace trigger keys_changed before insert or update on keys for each row execute function mark_key_changed();

-- What an installation knows of itself, such as the check value of the secret that digests are made with.
create table if not exists installation (
  name text primary key,
  value text not null
);
