-- Parked events go by the hundred, too: a replay, or what waits behind an event that was tried again.

-- What is due of these streams: position, stream, attempts, envelope; alone: it is to be tried by itself, for it has
-- failed, or has ended a process, or may have. With the first of an aggregate come those that wait behind it, as far as
-- none of them has to be alone.
create function parked_due(streams text[], most int)
returns table (position_ bigint, stream_ text, attempts_ int, envelope_ jsonb, alone boolean)
language sql stable as $$
    with due as materialized (
        select position, stream, aggregate_id, attempts > 0 or tried_by is not null as alone from parked_events
        where state = 'waiting' and run_at <= clock_timestamp() and stream = any (streams)
        order by run_at, position limit most)
    select p.position, d.stream, p.attempts, p.envelope, d.alone
    from due d, lateral (
        select e.position, e.attempts, e.envelope from parked_events e
        where e.stream = d.stream and e.aggregate_id = d.aggregate_id and e.state = 'waiting'
          and (e.position = d.position
               or not d.alone and e.position > d.position and e.attempts = 0 and e.tried_by is null)
        order by e.position limit (select greatest(most / count(*), 1) from due)) p
    order by d.stream, d.alone, p.position
$$;

-- Notes that an attempt of these begins, by whom, and when each would be due if nobody came back on it. Gives the most
-- that one of them has ended its process so far; NULL: none is to be tried. A crash of the database may forget it.
create function parked_begin(stream_ text, fence_ bigint, positions bigint[], by uuid, delay_ms bigint)
returns int language plpgsql as $$
declare
    so_far int;
begin
    perform set_config('synchronous_commit', 'off', true);
    with begun as (
        update parked_events set crashes = crashes + (tried_by is not null and tried_by <> by)::int, tried_by = by,
            run_at = case when run_at = 'infinity' then run_at
                     else clock_timestamp() + delay_ms * interval '1 millisecond' end
        where position = any (positions) and state = 'waiting'
          and exists (select from stream_positions where stream = stream_ and fence = fence_)
        returning crashes)
    select max(crashes) into so_far from begun;
    return so_far;
end $$;
drop function parked_begin(text, bigint, bigint, uuid, bigint);

-- Claims parked events for another attempt, in the transaction that handles them: they are no longer parked, and the
-- next of each aggregate is due, if that commits. Gives a letter for each, in the order of the array: 'n' new, handle it
-- now; 'd' duplicate, done before; 'g' not now: the operator took it, or an earlier one of its aggregate waits. NULL:
-- fenced.
create function parked_claim(stream_ text, fence_ bigint, positions bigint[]) returns text language plpgsql as $$
declare
    verdicts text;
    of_aggregates text[];
begin
    perform from stream_positions where stream = stream_ and fence = fence_ for update;
    if not found then
        return null;
    end if;
    select array_agg(distinct aggregate_id) into of_aggregates from parked_events where position = any (positions);
    with earlier as materialized (
        select aggregate_id, min(position) as first from parked_events
        where stream = stream_ and aggregate_id = any (of_aggregates) and state = 'waiting'
          and position < positions[cardinality(positions)] and not position = any (positions)
        group by aggregate_id),
    gone as (
        delete from parked_events e where position = any (positions) and state = 'waiting'
          and not exists (select from earlier x where x.aggregate_id = e.aggregate_id and x.first < e.position)
        returning position, event_id),
    fresh as (insert into inbox (event_id) select event_id from gone on conflict do nothing returning event_id)
    select string_agg(case when g.position is null then 'g' when f.event_id is null then 'd' else 'n' end, ''
                      order by p.at)
    into verdicts
    from unnest(positions) with ordinality as p(position, at)
    left join gone g using (position) left join fresh f using (event_id);
    if position('g' in verdicts) > 0 then -- begun with the others, but not tried
        update parked_events set tried_by = null where position = any (positions) and state = 'waiting';
    end if;
    update parked_events set run_at = clock_timestamp()
    where run_at = 'infinity' and state = 'waiting' and position in (
        select min(position) from parked_events
        where stream = stream_ and aggregate_id = any (of_aggregates) and state = 'waiting' group by aggregate_id);
    return verdicts;
end $$;
drop function parked_claim(text, bigint, bigint);

-- As before; and those behind it were begun with it, but not tried.
create or replace function parked_fail(stream_ text, fence_ bigint, position_ bigint, state_ text, delay_ms bigint,
                                       error_ text)
returns text language plpgsql as $$
declare
    was record;
begin
    perform from stream_positions where stream = stream_ and fence = fence_ for update;
    if not found then
        return 'fenced';
    end if;
    select aggregate_id, tried_by into was from parked_events where position = position_ and state = 'waiting' for update;
    if found then
        update parked_events set state = state_, attempts = attempts + 1, error = error_, tried_by = null, crashes = 0,
            run_at = clock_timestamp() + delay_ms * interval '1 millisecond'
        where position = position_;
        update parked_events set tried_by = null
        where stream = stream_ and aggregate_id = was.aggregate_id and state = 'waiting' and position > position_
          and tried_by = was.tried_by and crashes = 0;
        if state_ = 'dead' then
            perform parked_wake(stream_, was.aggregate_id);
        end if;
    end if;
    return 'ok';
end $$;

-- For /health.
create index parked_events_dead on parked_events (position) where state = 'dead';
