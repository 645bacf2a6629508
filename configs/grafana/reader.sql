-- The user by which Grafana asks the database: it sees who used what, and no question, no answer and no key. Every query of everybody who may edit
-- a dashboard comes by it. Can be run again, also for another password, by a user who may make roles:
--
--   GRAFANA_POSTGRES_PASSWORD='one of your own' psql --quiet --set=ON_ERROR_STOP=1 --file=configs/grafana/reader.sql "$MILLRACE_POSTGRES_URL"
-- The password is to stand in none of the server's logs. Only a superuser may say so; others go on.
do $$ begin
  perform set_config('log_statement', 'none', false), set_config('log_min_error_statement', 'panic', false);
exception when insufficient_privilege then null;
end $$;
\getenv password GRAFANA_POSTGRES_PASSWORD
\if :{?password}
\else
  \set password ''
\endif
select :'password' = '' as missing \gset
\if :missing
  do $$ begin raise 'GRAFANA_POSTGRES_PASSWORD is not set: it becomes the password of the user millrace_grafana'; end $$;
\endif
select 'create role millrace_grafana login' where not exists (select from pg_roles where rolname = 'millrace_grafana') \gexec
alter role millrace_grafana password :'password';
-- Columns of the first release alone: a volume from before has no others when this runs, and without the tables there is nothing to grant yet.
select 'grant select on usage_days to millrace_grafana' where to_regclass('usage_days') is not null \gexec
select 'grant select (day, arrived_at, key_id, key_name, endpoint, model, outcome, code, status, total_ms, first_token_ms, '
  || 'request_id, trace_id) on request_records to millrace_grafana' where to_regclass('request_records') is not null \gexec
