-- Building the tables of projections anew (workers/lib/svc/rebuild.c), beside those that serve: in the schema `rebuild`.

-- As 0007 has them, but in a language that keeps their plans: four times as fast.
create or replace function event_time(id uuid) returns timestamptz language plpgsql stable strict as $$
begin
    return (select recorded_at from events where event_id = id);
end $$;
create or replace function event_version(id uuid) returns bigint language plpgsql stable strict as $$
begin
    return (select aggregate_version from events where event_id = id);
end $$;

-- The rebuild that may go on: a later one takes over, and the pages of the earlier fail for want of its row.
create table rebuild_run (
    one boolean primary key default true check (one),
    run_id uuid not null,
    started_at timestamptz not null default now()
);

-- Empty tables like the served ones, with indexes and constraints of the same names.
create function rebuild_begin(id uuid, names text[]) returns void language plpgsql as $$
declare
    name text;
    statement text;
begin
    insert into rebuild_run (run_id) values (id)
    on conflict (one) do update set run_id = excluded.run_id, started_at = excluded.started_at;
    drop schema if exists rebuild cascade;
    create schema rebuild;
    foreach name in array names loop
        if exists (select from pg_constraint where contype = 'f' and to_regclass('public.' || quote_ident(name)) in (conrelid, confrelid))
            or exists (select from pg_trigger where tgrelid = to_regclass('public.' || quote_ident(name)) and not tgisinternal) then
            raise exception 'the table % has foreign keys or triggers, which a table of projections cannot have', name;
        end if;
        execute format('create table rebuild.%1$I (like public.%1$I including all excluding indexes)', name);
        for statement in
            select format('alter table rebuild.%I add constraint %I %s', name, conname, pg_get_constraintdef(oid))
            from pg_constraint
            where conrelid = to_regclass('public.' || quote_ident(name)) and contype in ('p', 'u', 'x')
            union all
            select regexp_replace(pg_get_indexdef(indexrelid), ' ON public\.', ' ON rebuild.')
            from pg_index
            where indrelid = to_regclass('public.' || quote_ident(name))
              and not exists (select from pg_constraint where conindid = indexrelid and contype in ('p', 'u', 'x'))
        loop
            execute statement;
        end loop;
    end loop;
end $$;

-- What the planner must know of the tables before they serve.
create function rebuild_analyze(names text[]) returns void language plpgsql as $$
declare
    name text;
begin
    foreach name in array names loop
        execute format('analyze rebuild.%I', name);
    end loop;
end $$;

-- Locks the served tables until the transaction ends; false when that takes longer than ms: whoever wants them waits
-- behind us, so better let them go and come back.
create function rebuild_lock(names text[], mode text, ms int) returns boolean language plpgsql as $$
begin
    perform set_config('lock_timeout', ms::text, true);
    execute format('lock table %s in %s mode',
                   (select string_agg(format('public.%I', n), ', ' order by n) from unnest(names) n), mode);
    perform set_config('lock_timeout', '0', true);
    return true;
exception when lock_not_available or deadlock_detected then
    return false;
end $$;

-- The new tables serve from the commit on. Who waits for the lock finds the new table behind the name; what stands in
-- the way of a drop (a view, say) is named in the error.
create function rebuild_swap(names text[]) returns void language plpgsql as $$
declare
    name text;
begin
    foreach name in array names loop
        execute format('drop table public.%I', name);
        execute format('alter table rebuild.%I set schema public', name);
    end loop;
    drop schema rebuild;
    delete from rebuild_run;
end $$;

create function rebuild_end() returns void language plpgsql as $$
begin
    drop schema if exists rebuild cascade;
    delete from rebuild_run;
end $$;

-- How the served table and the one of the log differ: rows that only one of them has, of each side the first few,
-- as the beginning of their JSON.
create function rebuild_compare(name text, most int) returns jsonb language plpgsql as $$
declare
    result jsonb;
begin
    execute format($q$
        with l as materialized (select * from rebuild.%1$I except all select * from public.%1$I),
        t as materialized (select * from public.%1$I except all select * from rebuild.%1$I)
        select jsonb_build_object('table', %1$L::text, 'rows', (select count(*) from public.%1$I),
            'onlyInTable', (select count(*) from t), 'onlyInLog', (select count(*) from l),
            'examples', coalesce((select jsonb_agg(x) from (
                (select jsonb_build_object('in', 'table', 'row', left(to_jsonb(t)::text, 1000)) as x from t limit $1)
                union all
                (select jsonb_build_object('in', 'log', 'row', left(to_jsonb(l)::text, 1000)) from l limit $1)) e), '[]'))$q$, name)
    into result using most;
    return result;
end $$;
