-- Of each day's requests, those that were answered from the cache of answers: their tokens are in none of the totals. A gateway of the
-- version before goes on writing without it, and keeps no answers.
alter table usage_days add column if not exists cached_requests bigint not null default 0;
