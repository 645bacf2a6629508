-- What was asked, and what came of it. Written in batches by request-log/ of the gateway, never on a request's path.
--
-- Whoever adds a column gives it a default or lets it be null: a gateway of the version before goes on writing meanwhile, and so
-- does a spool that it left behind.

-- One row for each request. A partition for each day (UTC), which gateways make ahead and drop after `retentionDays`: dropping a
-- table costs nothing, where deleting its rows would cost as much as writing them.
create table if not exists request_records (
  day date not null,
  -- Made by the gateway, whatever the caller called its request: writing a record twice leaves one row.
  record_id uuid not null,
  arrived_at timestamptz not null,
  request_id text not null,
  trace_id text,
  -- Null: it was asked without a key.
  key_id text,
  key_name text,
  endpoint text not null,
  -- Null: refused before its model was known.
  model text,
  worker text,
  attempts integer not null,
  stream boolean not null,
  -- Those of the request's parameters that matter afterwards; no contents.
  parameters jsonb not null,
  outcome text not null,
  -- Of the error; null: it was answered.
  code text,
  status integer not null,
  prompt_tokens integer not null,
  cached_tokens integer not null,
  completion_tokens integer not null,
  reasoning_tokens integer not null,
  -- Milliseconds, these five.
  waited_ms real not null,
  first_token_ms real,
  per_token_ms real,
  total_ms real not null,
  overhead_ms real,
  cached boolean not null,
  continued boolean not null,
  -- These three only where contents are kept: the question's JSON and the first answer's text, either cut at `messageBytesMax`.
  question text,
  answer text,
  contents_cut boolean,
  primary key (day, record_id)
) partition by range (day);

create index if not exists request_records_key on request_records (key_id, arrived_at) where key_id is not null;
create index if not exists request_records_request on request_records (request_id);
create index if not exists request_records_trace on request_records (trace_id) where trace_id is not null;
-- Rows lie in the order of their arrival, near enough: a few kB tell where any time of the day begins.
create index if not exists request_records_arrived on request_records using brin (arrived_at);

-- The totals of each day, which stay. Written in the same statement as the rows they count, from the rows that were new.
create table if not exists usage_days (
  day date not null,
  -- Empty: without a key, or before the model was known. Not null, since both tell rows apart.
  key_id text not null,
  model text not null,
  -- As the key was called last.
  key_name text,
  requests bigint not null,
  failed_requests bigint not null,
  prompt_tokens bigint not null,
  cached_tokens bigint not null,
  completion_tokens bigint not null,
  primary key (day, key_id, model)
)
-- The rows of today change with every batch; with room beside them the indexes need not.
with (fillfactor = 50);

create index if not exists usage_days_key on usage_days (key_id, day);

-- What some gateway does now and then for all of them, and when one last took it on.
create table if not exists record_chores (
  name text primary key,
  taken_at timestamptz not null
);
