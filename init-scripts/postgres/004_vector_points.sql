-- requires-extension: vector
-- Vectors, where no Qdrant is named, and what is known of each; what they were made of stays elsewhere.
-- The extension may lie in a schema of its own, outside the search path, so its type is named by that.

do $$
declare
  vector_type text := (
    select format('%I.vector', n.nspname)
    from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where e.extname = 'vector'
  );
begin
  if vector_type is null then
    raise exception 'the extension vector is there, but was not created' using errcode = 'insufficient_privilege';
  end if;

  create table if not exists vector_collections (
    name text primary key,
    -- Of every vector in it.
    dimension integer not null,
    made_at timestamptz not null default clock_timestamp()
  );

  execute format(
    'create table if not exists vector_points (
      collection text not null references vector_collections (name) on delete cascade,
      id text not null,
      vector %s not null,
      -- Strings, numbers and booleans by name.
      attributes jsonb not null,
      primary key (collection, id)
    )',
    vector_type
  );

  -- For "attributes contain": a question to a collection almost always says which few of its points it means.
  create index if not exists vector_points_attributes on vector_points using gin (attributes jsonb_path_ops);
end
$$;
