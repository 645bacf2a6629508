-- Chat completions that were asked for with `store: true`, until they are deleted or storedChatDays have passed.
--
-- Ids begin with the time of their making, so that their order is that in which they were made; by bytes, whatever language the database sorts by.

create table if not exists chat_completions (
  id text collate "C" primary key,
  -- Whose it is: a key's id, and empty where there are no keys.
  key_id text not null,
  model text not null,
  metadata jsonb not null,
  -- JSON as it was sent, and not jsonb, which takes no NUL within a text and puts fields into an order of its own.
  messages text not null,
  answer text not null,
  created_at timestamptz not null default clock_timestamp()
);

create index if not exists chat_completions_of_key on chat_completions (key_id, id);
create index if not exists chat_completions_by_age on chat_completions (created_at);
