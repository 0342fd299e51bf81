-- Calls to providers outside: who may call now, what each call came to, what it has cost.

-- failures: in a row. open_until: the breaker is open, or, when that has passed, half open; probe: the call that finds
-- out. pause_until: the provider has asked for it.
create table providers (
    provider text primary key,
    failures int not null default 0,
    opened int not null default 0,
    open_until timestamptz,
    probe bigint,
    pause_until timestamptz
);

-- One row for each try; outcome is null while it runs. A daemon that was killed leaves it so until lease_until.
create table provider_calls (
    call_id bigint generated always as identity primary key,
    provider text not null references providers,
    reference text,
    started_at timestamptz not null default clock_timestamp(),
    lease_until timestamptz not null,
    ended_at timestamptz,
    outcome text,
    status int,
    units bigint not null default 0,
    price_micros bigint not null default 0
);
create index provider_calls_running on provider_calls (provider, lease_until) where outcome is null;
create index provider_calls_started on provider_calls (started_at);
create index provider_calls_reference on provider_calls (reference) where reference is not null;

-- Since the beginning, for counters that never fall.
create table provider_totals (
    provider text not null references providers,
    outcome text not null,
    calls bigint not null default 0,
    units bigint not null default 0,
    price_micros bigint not null default 0,
    primary key (provider, outcome)
);

create function provider_count(provider_ text, outcome_ text, calls_ bigint, units_ bigint, price_ bigint)
returns void language sql as $$
    insert into provider_totals as t values (provider_, outcome_, calls_, units_, price_)
    on conflict (provider, outcome) do update set calls = t.calls + excluded.calls, units = t.units + excluded.units,
        price_micros = t.price_micros + excluded.price_micros;
$$;

-- May it be called now? verdict: 'go' (call_ is the row; null for a look-up), 'open', or 'busy', 'paused' and
-- 'probing' with the milliseconds after which to ask again. Rows of more than 400 days go, some each time.
create function provider_begin(provider_ text, reference_ text, look_up boolean, places int, lease_ms int,
                               out verdict text, out wait_ms bigint, out call_ bigint) language plpgsql as $$
declare
    now_ constant timestamptz := clock_timestamp();
    p providers;
    lost bigint;
begin
    insert into providers (provider) values (provider_) on conflict do nothing;
    select * into p from providers where provider = provider_ for update;
    update provider_calls set outcome = 'unknown', ended_at = now_
        where provider = provider_ and outcome is null and lease_until < now_;
    get diagnostics lost = row_count;
    if lost > 0 then
        perform provider_count(provider_, 'unknown', lost, 0, 0);
    end if;
    delete from provider_calls where call_id in (
        select call_id from provider_calls where started_at < now_ - interval '400 days' order by started_at limit 10);
    verdict := 'go';
    wait_ms := 0;
    if p.open_until > now_ then
        verdict := 'open';
        wait_ms := ceil(extract(epoch from p.open_until - now_) * 1000);
    elsif p.pause_until > now_ then
        verdict := 'paused';
        wait_ms := ceil(extract(epoch from p.pause_until - now_) * 1000);
    elsif p.open_until is not null and not look_up
          and exists (select from provider_calls c where c.call_id = p.probe and c.outcome is null) then
        verdict := 'probing';
        wait_ms := 1000;
    elsif not look_up and places <= (select count(*) from provider_calls c
                                     where c.provider = provider_ and c.outcome is null) then
        verdict := 'busy';
        wait_ms := 100;
    elsif not look_up then
        insert into provider_calls (provider, reference, lease_until)
            values (provider_, reference_, now_ + lease_ms * interval '1 millisecond') returning call_id into call_;
        update providers set probe = call_ where provider = provider_ and open_until is not null;
    end if;
end $$;

-- What it came to. Answers, even refusals, close the breaker; a limit and a cancellation say nothing about it.
create function provider_end(provider_ text, call_id_ bigint, outcome_ text, status_ int, units_ bigint, price_ bigint,
                             pause_ms bigint) returns void language plpgsql as $$
declare
    limit_ constant int := 5;
    now_ constant timestamptz := clock_timestamp();
    p providers;
begin
    select * into p from providers where provider = provider_ for update;
    update provider_calls set outcome = outcome_, ended_at = now_, status = status_, units = units_, price_micros = price_
        where call_id = call_id_ and (outcome is null or outcome = 'unknown');
    perform provider_count(provider_, outcome_, 1, units_, price_);
    if pause_ms > 0 then
        update providers set pause_until = greatest(pause_until, now_ + pause_ms * interval '1 millisecond')
            where provider = provider_;
    end if;
    if outcome_ in ('ok', 'content') then
        update providers set failures = 0, opened = 0, open_until = null, probe = null
            where provider = provider_ and (failures > 0 or opened > 0);
    elsif outcome_ not in ('limited', 'cancelled') then
        update providers set failures = failures + 1 where provider = provider_;
        if p.failures + 1 >= limit_ and coalesce(p.open_until, '-infinity') <= now_ then
            update providers set opened = opened + 1, probe = null,
                open_until = now_ + least(300, 30 * 2 ^ least(p.opened, 10)) * interval '1 second'
                where provider = provider_;
        end if;
    end if;
end $$;
