-- One turn of the relay: takes a snapshot, reads the first page of what it sees and the last batch's did not (as relay.c
-- explains), and records the batch, all in one trip. floor_: the least number that the batch may have. Without events
-- one row says so, with seq null; while a recorded batch is not marked as sent, no other is cut.
create function relay_cut(floor_ bigint, page_ int)
returns table (seq bigint, event_id uuid, event_type text, aggregate_id text, aggregate_type text, recorded_at text,
               version text, metadata jsonb, payload jsonb,
               batch_no bigint, s1 pg_snapshot, s2 pg_snapshot, after_seq bigint, session int, unsent boolean)
language plpgsql
-- What is new is found by the index on (tx, seq), however the planner guesses.
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    last_no bigint := 0;
    last_after bigint := 0;
    s1_ pg_snapshot := '1:1:';
    s2_ pg_snapshot;
    no bigint;
    n int := 0;
    waits boolean := exists (select from relay_batches where sent_at is null);
begin
    if not waits then
        select b.batch_no, b.s2, b.after_seq into last_no, s1_, last_after
        from relay_batches b order by b.batch_no desc limit 1;
        if not found then
            last_no := 0; last_after := 0; s1_ := '1:1:';
        end if;
        no := greatest(floor_, last_no + 1);
        s2_ := pg_current_snapshot(); -- older than the snapshot of the next statement
        return query
            with found as materialized (
                select e.seq from events e
                where e.tx >= pg_snapshot_xmax(s1_) and e.tx < pg_snapshot_xmax(s2_)
                  and pg_visible_in_snapshot(e.tx, s2_) and e.seq > last_after
                union all
                select e.seq from events e
                where e.tx = any (array(select pg_snapshot_xip(s1_)))
                  and pg_visible_in_snapshot(e.tx, s2_) and e.seq > last_after)
            select e.seq, e.event_id, e.event_type, e.aggregate_id, e.aggregate_type,
                to_char(e.recorded_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), e.version, e.metadata,
                e.payload, no, s1_, s2_, last_after, pg_backend_pid(), false
            from (select f.seq from found f order by f.seq limit page_) f,
                lateral (select * from events where seq = f.seq offset 0) e
            order by f.seq;
        get diagnostics n = row_count;
    end if;
    if n > 0 then
        insert into relay_batches (batch_no, system_identifier, s1, s2, after_seq)
        select no, system_identifier::text, s1_, s2_, last_after from pg_control_system();
    else
        session := pg_backend_pid();
        unsent := waits;
        return next;
    end if;
end $$;

-- How much of the log has not been sent, and since when its first event waits: for health and operators.
create function relay_backlog() returns table (events bigint, oldest timestamptz) language sql stable as $$
    with last as (
        select coalesce((select b.s2 from relay_batches b where b.sent_at is not null
                         order by b.batch_no desc limit 1), '1:1:') as s)
    select count(*), min(e.recorded_at)
    from last, lateral (
        select recorded_at from events where tx >= pg_snapshot_xmax(last.s)
        union all
        select recorded_at from events where tx = any (array(select pg_snapshot_xip(last.s)))) e;
$$;
