-- Where items of conversations stood that were removed: lists go on behind ids, also of what is not there any more. Read and written by
-- responses/ of the gateway, which keeps the last thousand of each conversation.

create table if not exists removed_items (
  conversation_id text collate "C" not null references conversations (id) on delete cascade,
  -- In the order in which they were removed.
  number bigint not null generated always as identity,
  id text collate "C" not null,
  place integer not null,
  primary key (conversation_id, number)
);
