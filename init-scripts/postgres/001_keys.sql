-- API keys. Read by keys/ of the gateway; a key itself is never stored, only its keyed digest.

create table keys (
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
  -- What gateways look for when they ask what has changed.
  updated_at timestamptz not null default clock_timestamp()
);

-- By a trigger, so that nobody who changes a key can forget it, be it by hand.
create function keys_note_update() returns trigger language plpgsql as $$
begin
  new.updated_at := clock_timestamp();
  return new;
end
$$;

create trigger keys_note_update before update on keys for each row execute function keys_note_update();

create index keys_updated_at on keys (updated_at);

-- What an installation knows of itself, such as the check value of the secret that digests are made with.
create table installation (
  name text primary key,
  value text not null
);
