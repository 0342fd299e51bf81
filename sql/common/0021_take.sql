-- As 0002 has it, but most takes find one job of one kind, soon after it was added: kinds of which nothing is ready are
-- passed over at once, and so are delayed jobs when none is due.

-- Jobs for a daemon: kinds is [{name, slots, lease_s, everywhere, rate, rate_s}]. Those whose lease has ended come along.
-- Not for a larger transaction: the commit does not wait for the disk. A take that a crash forgets did not happen, and
-- its worker can neither commit anything nor extend.
create or replace function jobs_take(kinds jsonb, token uuid)
returns table (job_id bigint, name text, unique_key text, attempts int, payload jsonb, metadata jsonb, error text,
               doomed text)
language plpgsql set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
                 set enable_mergejoin = off set enable_sort = off as $$
#variable_conflict use_column
declare
    k record;
    slots int;
begin
    perform set_config('synchronous_commit', 'off', true);
    if exists (select from jobs d where d.delayed and d.ended is null and d.run_at <= clock_timestamp()) then
        update jobs set delayed = false where job_id in (
            select d.job_id from jobs d where d.delayed and d.ended is null and d.run_at <= clock_timestamp()
            order by d.run_at limit 1000 for update skip locked);
    end if;
    for k in select * from jsonb_to_recordset(kinds)
             as r(name text, slots int, lease_s int, everywhere int, rate int, rate_s int)
             where exists (
                select from jobs j where j.name = r.name and j.ended is null and j.pending = 0 and not j.delayed
                and (j.lease_token is null or j.lease_until < clock_timestamp())) loop
        slots := k.slots;
        if k.everywhere > 0 or k.rate > 0 then
            insert into job_limits (name) values (k.name) on conflict do nothing;
            perform from job_limits l where l.name = k.name for update;
            if k.everywhere > 0 then
                slots := least(slots, k.everywhere - (
                    select count(*) from jobs j where j.slot = k.name and j.lease_until >= clock_timestamp()));
            end if;
            if k.rate > 0 then
                delete from job_starts s
                where s.name = k.name and s.started_at <= clock_timestamp() - k.rate_s * interval '1 second';
                slots := least(slots, k.rate - (select count(*) from job_starts s where s.name = k.name));
            end if;
            continue when slots <= 0;
        end if;
        return query
            with picked as materialized (
                select j.job_id from jobs j
                where j.name = k.name and j.ended is null and j.pending = 0 and not j.delayed
                and j.run_at <= clock_timestamp() and (j.lease_token is null or j.lease_until < clock_timestamp())
                and (j.unique_key is null or not exists (
                    select from jobs o where o.name = j.name and o.unique_key = j.unique_key and o.ended is null
                    and o.lease_token is not null and o.job_id <> j.job_id))
                order by j.priority desc, j.run_at, j.job_id limit slots for update of j skip locked)
            update jobs j set lease_token = token, lease_until = clock_timestamp() + k.lease_s * interval '1 second',
                attempts = j.attempts + 1, limited = k.everywhere > 0, progress_done = null, progress_total = null
            from picked p where j.job_id = p.job_id
            returning j.job_id, j.name, j.unique_key, j.attempts, j.payload, j.metadata, j.error, j.doomed;
        if k.rate > 0 then
            get diagnostics slots = row_count;
            insert into job_starts select k.name, clock_timestamp() from generate_series(1, slots);
        end if;
    end loop;
end $$;
