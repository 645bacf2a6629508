-- OpenAI's responses and conversations: what is kept of them, so that others can go on from them, and which responses are still to be
-- answered in the background. Read and written by responses/ of the gateway.
--
-- JSON stands here as text: jsonb refuses U+0000 and halves of surrogate pairs, which callers send and models write; JSON escapes both.

create table if not exists responses (
  id text collate "C" primary key,
  -- Whose it is: a key's id, and empty where there are no keys.
  key_id text not null,
  -- What it went on from, be it still there or not.
  previous_id text collate "C",
  conversation_id text collate "C",
  -- OpenAI's word: queued, in_progress, and then completed, incomplete, failed or cancelled.
  status text not null,
  -- The response as JSON, but for its status and its output: that is in response_items.
  body text not null,
  -- Of its items, those of its input and those of its output.
  bytes bigint not null,
  background boolean not null,
  created_at timestamptz not null default clock_timestamp(),
  -- Null: it is queued or in progress.
  ended_at timestamptz
);

create index if not exists responses_of_key on responses (key_id, created_at);
create index if not exists responses_previous on responses (previous_id) where previous_id is not null;
create index if not exists responses_ended on responses (ended_at) where ended_at is not null;

create table if not exists conversations (
  id text collate "C" primary key,
  -- As of responses.
  key_id text not null,
  -- JSON.
  metadata text not null,
  -- The response that is being answered on it, and until when it is that one's unless it says again that it is.
  locked_by text,
  locked_until timestamptz,
  used_at timestamptz not null default clock_timestamp(),
  created_at timestamptz not null default clock_timestamp()
);

create index if not exists conversations_of_key on conversations (key_id);
create index if not exists conversations_used on conversations (used_at);

create table if not exists response_items (
  -- The response, or the conversation, that it is in.
  holder_id text collate "C" not null,
  -- From the oldest on; input before output.
  place integer not null,
  -- Unique where it is; the same item may be in several responses.
  id text collate "C" not null,
  key_id text not null,
  -- Of a response: whether it is of its output.
  output boolean not null,
  -- JSON.
  item text not null,
  primary key (holder_id, place)
);

create unique index if not exists response_items_once on response_items (holder_id, id);
create index if not exists response_items_named on response_items (key_id, id);

-- Responses that are to be answered in the background. Gone when they have ended, however that was.
create table if not exists response_runs (
  response_id text collate "C" primary key references responses (id) on delete cascade,
  key_id text not null,
  -- JSON: the body, and what its headers asked for.
  request text not null,
  priority integer not null,
  -- Whether its events are kept for readers.
  streamed boolean not null,
  -- How often it was begun. Whoever began it shows this number, and writes nothing once another has begun it.
  attempt integer not null default 0,
  -- Until when it is theirs who began it, unless they say again that it is.
  held_until timestamptz,
  -- How often it was put back by who had begun it: of its other attempts nobody heard again.
  put_back integer not null default 0,
  -- When it fails, if it has not ended by then.
  expires_at timestamptz not null
);

create index if not exists response_runs_of_key on response_runs (key_id);

create table if not exists response_events (
  response_id text collate "C" not null references responses (id) on delete cascade,
  -- Sequence numbers of the first and the last of them.
  first_number integer not null,
  last_number integer not null,
  -- A JSON list.
  events text not null,
  primary key (response_id, first_number)
);
