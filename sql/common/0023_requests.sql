-- As before; but what is wrong with a single request says nothing of the provider either: whoever sends such ones does
-- not open the breaker for all.
create or replace function provider_end(provider_ text, call_id_ bigint, outcome_ text, status_ int, units_ bigint,
                                        price_ bigint, pause_ms bigint) returns void language plpgsql as $$
declare
    limit_ constant int := 5;
    now_ constant timestamptz := clock_timestamp();
    p providers;
begin
    select * into p from providers where provider = provider_ for update;
    update provider_calls set outcome = outcome_, ended_at = now_, status = status_, units = units_,
        price_micros = price_ where call_id = call_id_ and (outcome is null or outcome = 'unknown');
    perform provider_count(provider_, outcome_, 1, units_, price_);
    if pause_ms > 0 then
        update providers set pause_until = greatest(pause_until, now_ + pause_ms * interval '1 millisecond')
            where provider = provider_;
    end if;
    if outcome_ in ('ok', 'content') then
        update providers set failures = 0, opened = 0, open_until = null, probe = null
            where provider = provider_ and (failures > 0 or opened > 0);
    elsif outcome_ not in ('limited', 'cancelled', 'request') then
        update providers set failures = failures + 1 where provider = provider_;
        if p.failures + 1 >= limit_ and coalesce(p.open_until, '-infinity') <= now_ then
            update providers set opened = opened + 1, probe = null,
                open_until = now_ + least(300, 30 * 2 ^ least(p.opened, 10)) * interval '1 second'
                where provider = provider_;
        end if;
    end if;
end $$;
