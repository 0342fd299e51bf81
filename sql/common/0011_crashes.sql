-- An event whose handler ends the process must not end the next one for ever. What a process had in its hands when it
-- ended without letting go is set aside and tried one by one, and each of these attempts is noted before it begins. In
-- the normal case nothing more is written than before.

-- held: somebody reads the partition, or ended without saying so.
alter table stream_positions add column held boolean not null default false;

-- tried_by: the process that has begun an attempt and not come back on it. crashes: how many there were before.
alter table parked_events add column tried_by uuid, add column crashes int not null default 0;

-- Takes a partition over: raises its fence. crashed: who had it, by another fence than the caller's last, did not let go.
create function stream_attach(stream_ text, mine bigint)
returns table (fence_ bigint, ms_ bigint, n_ bigint, crashed boolean) language plpgsql as $$
declare
    was record;
begin
    insert into stream_positions (stream, fence) values (stream_, -1) on conflict do nothing;
    select p.held, p.fence into was from stream_positions p where p.stream = stream_ for update;
    return query update stream_positions p set fence = p.fence + 1, held = true where p.stream = stream_
        returning p.fence, p.ms, p.n, was.held and was.fence is distinct from mine;
end $$;

-- Lets go of partitions that are still the caller's.
create function streams_release(streams text[], fences bigint[]) returns void language sql as $$
    update stream_positions p set held = false from unnest(streams, fences) as mine(stream, fence)
    where p.stream = mine.stream and p.fence = mine.fence;
$$;

-- Moves the position behind the last of these events and parks them, in their order: due now, or behind an earlier one
-- of their aggregate. 'ok', 'past', 'fenced'.
create function events_set_aside(stream_ text, fence_ bigint, ms_ bigint[], n_ bigint[], ids uuid[], aggregates text[],
                                 types text[], correlations text[], envelopes jsonb[])
returns text language plpgsql as $$
declare
    size constant int := cardinality(ids);
    moved text := stream_advance(stream_, fence_, ms_[size], n_[size]);
begin
    if moved = 'ok' then
        insert into parked_events (event_id, stream, aggregate_id, event_type, correlation_id, envelope, run_at)
        select id, stream_, aggregate, type, correlation, envelope,
            case when row_number() over (partition by aggregate order by at) > 1
                   or exists (select from parked_events p where p.stream = stream_ and p.aggregate_id = aggregate
                              and p.state = 'waiting') then 'infinity'
                 else clock_timestamp() end
        from unnest(ids, aggregates, types, correlations, envelopes) with ordinality
            as e(id, aggregate, type, correlation, envelope, at)
        where not exists (select from inbox i where i.event_id = id)
          and not exists (select from parked_events p where p.event_id = id)
        order by at
        on conflict do nothing;
    end if;
    return moved;
end $$;

-- Notes that an attempt begins, by whom, and when the next would be due if nobody came back on it. Gives how many have
-- ended their process so far; NULL: the event is not to be tried. A crash of the database may forget it.
create function parked_begin(stream_ text, fence_ bigint, position_ bigint, by uuid, delay_ms bigint)
returns int language plpgsql as $$
declare
    so_far int;
begin
    perform set_config('synchronous_commit', 'off', true);
    update parked_events set crashes = crashes + (tried_by is not null and tried_by <> by)::int, tried_by = by,
        run_at = clock_timestamp() + delay_ms * interval '1 millisecond'
    where position = position_ and state = 'waiting'
      and exists (select from stream_positions where stream = stream_ and fence = fence_)
    returning crashes into so_far;
    return so_far;
end $$;

-- As before; and whoever reports a failure has survived it.
create or replace function parked_fail(stream_ text, fence_ bigint, position_ bigint, state_ text, delay_ms bigint,
                                       error_ text)
returns text language plpgsql as $$
declare
    aggregate text;
begin
    perform from stream_positions where stream = stream_ and fence = fence_ for update;
    if not found then
        return 'fenced';
    end if;
    update parked_events set state = state_, attempts = attempts + 1, error = error_, tried_by = null, crashes = 0,
        run_at = clock_timestamp() + delay_ms * interval '1 millisecond'
    where position = position_ and state = 'waiting' returning aggregate_id into aggregate;
    if found and state_ = 'dead' then
        perform parked_wake(stream_, aggregate);
    end if;
    return 'ok';
end $$;
