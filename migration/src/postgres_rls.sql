-- Only the owner of the tables (the role Switchboard connects as) may read or write. Supabase exposes every table
-- of `public` to the roles `anon` and `authenticated`; row-level security without a policy gives them nothing.
do $$
declare
    name text;
begin
    -- Only where it is missing: the change waits for everybody who uses the table, and a running service does.
    for name in
        select tablename from pg_tables
        where schemaname = current_schema() and tableowner = current_user and not rowsecurity
    loop
        execute format('alter table %I enable row level security', name);
    end loop;
    if exists (select from pg_roles where rolname = 'anon') then
        execute format('revoke all on all tables in schema %I from anon', current_schema());
    end if;
    if exists (select from pg_roles where rolname = 'authenticated') then
        execute format('revoke all on all tables in schema %I from authenticated', current_schema());
    end if;
end $$;
