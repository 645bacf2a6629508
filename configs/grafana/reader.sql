-- The user by which Grafana asks the database: it sees who used what, and no question, no answer and no key. Every query of everybody who may edit
-- a dashboard comes by it. Can be run again, also for another password:
--
--   GRAFANA_POSTGRES_PASSWORD='one of your own' psql --quiet --set=ON_ERROR_STOP=1 --file=configs/grafana/reader.sql "$MILLRACE_POSTGRES_URL"
\getenv password GRAFANA_POSTGRES_PASSWORD
\if :{?password}
\else
  do $$ begin raise 'GRAFANA_POSTGRES_PASSWORD is not set: it becomes the password of the user grafana'; end $$;
\endif
select 'create role grafana login' where not exists (select from pg_roles where rolname = 'grafana') \gexec
alter role grafana password :'password';
grant select on usage_days to grafana;
grant select (day, arrived_at, key_id, key_name, endpoint, model, outcome, code, status, total_ms, first_token_ms,
  request_id, trace_id) on request_records to grafana;
