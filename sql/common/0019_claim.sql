-- As 0013 has it. lazily: the commit of this transaction does not wait for the disk, which a statement of its own said
-- before.
create function events_claim(stream_ text, fence_ bigint, ms_ bigint[], n_ bigint[], ids uuid[], aggregates text[],
                             lazily boolean)
returns text language plpgsql as $$
declare
    size constant int := cardinality(ids);
    was record;
    some_parked boolean;
    verdicts text;
begin
    if lazily then
        perform set_config('synchronous_commit', 'off', true);
    end if;
    if size = 1 then -- one that came alone, or is tried alone
        update stream_positions set ms = ms_[1], n = n_[1]
        where stream = stream_ and fence = fence_ and (ms, n) < (ms_[1], n_[1]);
        if not found then
            perform from stream_positions where stream = stream_ and fence = fence_ for share;
            return case when found then 'd' end;
        end if;
        if exists (select from parked_events) then
            if exists (select from inbox where event_id = ids[1])
               or exists (select from parked_events where event_id = ids[1]) then
                return 'd';
            end if;
            if exists (select from parked_events
                       where stream = stream_ and aggregate_id = aggregates[1] and state = 'waiting') then
                return 'b';
            end if;
        end if;
        insert into inbox (event_id) values (ids[1]) on conflict do nothing;
        return case when found then 'n' else 'd' end;
    end if;
    select ms, n into was from stream_positions where stream = stream_ and fence = fence_ for update;
    if not found then
        return null;
    end if;
    update stream_positions set ms = ms_[size], n = n_[size]
    where stream = stream_ and (ms, n) < (ms_[size], n_[size]);
    some_parked := exists (select from parked_events);
    with page as materialized (
        select p.id, p.at,
            case when (p.ms, p.n) <= (was.ms, was.n) or row_number() over (partition by p.id order by p.at) > 1 then 'd'
                 when not some_parked then 'n'
                 when exists (select from parked_events e where e.event_id = p.id) then 'd'
                 when not exists (select from parked_events e where e.stream = stream_
                                  and e.aggregate_id = p.aggregate and e.state = 'waiting') then 'n'
                 when exists (select from inbox i where i.event_id = p.id) then 'd'
                 else 'b' end as verdict
        from unnest(ms_, n_, ids, aggregates) with ordinality as p(ms, n, id, aggregate, at)),
    fresh as (
        insert into inbox (event_id) select id from page where verdict = 'n' on conflict do nothing returning event_id)
    select string_agg(case when verdict = 'n' and id not in (select event_id from fresh) then 'd' else verdict end, ''
                      order by at)
    into verdicts from page;
    return verdicts;
end $$;
drop function events_claim(text, bigint, bigint[], bigint[], uuid[], text[]);

-- As 0015 has it, and always so.
create or replace function parked_claim(stream_ text, fence_ bigint, positions bigint[]) returns text language plpgsql as $$
declare
    verdicts text;
    of_aggregates text[];
begin
    perform set_config('synchronous_commit', 'off', true);
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
