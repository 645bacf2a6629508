-- OpenAI's batch jobs. Read and written by batch-jobs/ of the gateway.

create table if not exists batches (
  id text primary key,
  -- Counts creations: lists go by it.
  number bigint generated always as identity,
  -- Whose it is; null: it was made while there were no keys.
  key_id text,
  endpoint text not null,
  input_file_id text not null,
  completion_window text not null,
  metadata jsonb,
  -- Seconds, of the files that are made; null: they stay.
  output_expires_after integer,
  -- OpenAI's word: validating, in_progress, finalizing, cancelling, and then completed, failed, expired or cancelled.
  status text not null default 'validating',
  -- What it will be once what is done is put together; null: completed.
  ending text,
  -- What is wrong with all of it, as OpenAI shows it: a list of code, message, line, param.
  errors jsonb,
  -- Null: its lines name none, or several.
  model text,
  -- Lines, broken ones among them.
  total integer not null default 0,
  completed integer not null default 0,
  failed integer not null default 0,
  input_tokens bigint not null default 0,
  cached_tokens bigint not null default 0,
  output_tokens bigint not null default 0,
  reasoning_tokens bigint not null default 0,
  output_file_id text,
  error_file_id text,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  in_progress_at timestamptz,
  finalizing_at timestamptz,
  completed_at timestamptz,
  failed_at timestamptz,
  expired_at timestamptz,
  cancelling_at timestamptz,
  cancelled_at timestamptz
);

create index if not exists batches_key on batches (key_id, number);
create index if not exists batches_live on batches (number) where status in ('validating', 'in_progress', 'finalizing', 'cancelling');

-- Parts of the input that are run one by one, by whichever gateway takes them. Gone when the batch is over.
create table if not exists batch_slices (
  batch_id text not null references batches (id) on delete cascade,
  slice integer not null,
  -- Counted from 1, as people count lines; blank ones count here too.
  first_line integer not null,
  byte_from bigint not null,
  bytes bigint not null,
  -- Lines whose custom_id an earlier line has.
  duplicates integer[] not null default '{}',
  -- Where its answers and errors lie in the object store, once it is closed; null: it has none.
  output_key text,
  error_key text,
  closed_at timestamptz,
  primary key (batch_id, slice)
);

-- What came of the lines of slices that are open: one row for each, whoever is first. They go into files when their slice is closed.
create table if not exists batch_lines (
  batch_id text not null references batches (id) on delete cascade,
  line integer not null,
  slice integer not null,
  -- False: it is an error.
  answered boolean not null,
  -- The line of the output or of the error file, as it will stand there.
  text text not null,
  primary key (batch_id, line)
);

create index if not exists batch_lines_slice on batch_lines (batch_id, slice, line);
