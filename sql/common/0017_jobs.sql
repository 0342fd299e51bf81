-- As before, but what is limited over all daemons is not polled for: who ends such a job takes the next one, or rings.
create or replace function jobs_next(kinds jsonb) returns table (wait_ms bigint, blocked boolean)
language plpgsql set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    k record;
    due timestamptz := (select min(j.run_at) from jobs j where j.delayed and j.ended is null);
begin
    for k in select * from jsonb_to_recordset(kinds) as r(name text, rate int, rate_s int) where r.rate > 0 loop
        continue when not exists (
            select from jobs j where j.name = k.name and j.ended is null and j.pending = 0 and not j.delayed
            and j.lease_token is null);
        due := least(due, (
            select min(s.started_at) + k.rate_s * interval '1 second' from job_starts s
            where s.name = k.name having count(*) >= k.rate));
    end loop;
    return query select ceil(extract(epoch from due - clock_timestamp()) * 1000)::bigint,
        exists (select from jobs j where j.pending > 0 and j.ended is null);
end $$;
