-- Who is on which tier, and what has been used of it.

-- As config/tiers.yaml has them; written at every start. limits: metric -> number, null is without limit.
create table subscription_tiers (
    tier text primary key,
    price_value bigint not null,
    price_currency text not null,
    interval text not null check (interval in ('month', 'year')),
    limits jsonb not null
);

-- Periods are half-open and follow from anchor: the n-th starts n intervals after it.
create table user_subscriptions (
    subscription_id uuid primary key,
    user_id uuid not null unique,
    tier text not null references subscription_tiers,
    status text not null check (status in ('active', 'canceled')),
    anchor timestamptz not null default now(),
    created_at timestamptz not null default now()
);

-- One row for each event that counted, so that none counts twice and the sum can be proved.
create table usage_tracking (
    source_event uuid primary key,
    user_id uuid not null,
    metric text not null,
    amount bigint not null check (amount > 0),
    used_at timestamptz not null
);
create index usage_tracking_period on usage_tracking (user_id, metric, used_at);

-- A limit is announced once per period.
create table limits_reached (
    user_id uuid not null,
    metric text not null,
    period_start timestamptz not null,
    primary key (user_id, metric, period_start)
);

create table payment_history (
    payment_id uuid primary key,
    user_id uuid not null,
    amount_value bigint not null,
    amount_currency text not null,
    status text not null,
    created_at timestamptz not null default now()
);

-- Start of the period of `anchor` that holds `at`. Counting months from the anchor keeps the anchor's day: 31 January,
-- 28 February, 31 March.
create function period_start(anchor timestamptz, span text, at timestamptz) returns timestamptz language plpgsql stable as $$
declare
    n int := (extract(year from age(at, anchor)) * 12 + extract(month from age(at, anchor)))::int;
    months int := case span when 'year' then 12 else 1 end;
begin
    n := greatest(n / months + 1, 0);
    while n > 0 and anchor + make_interval(months => n * months) > at loop
        n := n - 1;
    end loop;
    return anchor + make_interval(months => n * months);
end $$;

create function period_end(anchor timestamptz, span text, at timestamptz) returns timestamptz language plpgsql stable as $$
declare
    months int := case span when 'year' then 12 else 1 end;
    n int := 1;
    started timestamptz := period_start(anchor, span, at);
begin
    n := greatest((extract(year from age(started, anchor)) * 12 + extract(month from age(started, anchor)))::int / months, 0);
    while anchor + make_interval(months => n * months) <= at loop
        n := n + 1;
    end loop;
    return anchor + make_interval(months => n * months);
end $$;
