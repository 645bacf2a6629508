-- Work that need not be done at once, where there is no Redis for it: stores/adapters/sql-job-queue.ts of the gateway.

create table if not exists jobs (
  -- Several queues share the table.
  queue text not null,
  -- Chosen by whoever adds it: the same job is not added twice.
  id text not null,
  -- Small; what is large is named in it.
  payload text not null,
  -- The higher goes first.
  priority integer not null,
  -- Counts additions: among equals the older goes first.
  number bigint generated always as identity,
  -- How often it was taken. Whoever took it shows this number, and is refused once another has taken it.
  attempt integer not null default 0,
  taken boolean not null default false,
  -- When it can be taken: while it is, that is when the lease ends. By the database's clock, which all gateways share.
  due_at timestamptz not null default clock_timestamp(),
  primary key (queue, id)
)
-- Rows change with every lease; with room beside them the indexes of what stays the same need not.
with (fillfactor = 50);

create index if not exists jobs_order on jobs (queue, priority desc, number);
