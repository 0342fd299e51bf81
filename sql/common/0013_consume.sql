-- Claims deliveries of a partition in the transaction that handles them, all in one statement, in the order of the
-- arrays. Moves the position behind the last. Gives a letter for each: 'n' new, handle it now; 'd' duplicate, done
-- before; 'b' behind: an earlier event of its aggregate waits for a retry, park it, due at infinity. NULL: fenced.
create or replace function events_claim(stream_ text, fence_ bigint, ms_ bigint[], n_ bigint[], ids uuid[],
                                        aggregates text[])
returns text language plpgsql as $$
declare
    size constant int := cardinality(ids);
    was record;
    some_parked boolean;
    verdicts text;
begin
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

drop function event_claim(text, bigint, bigint, bigint, uuid, text);
