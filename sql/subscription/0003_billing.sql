-- Paid tiers: what comes at the end of the period that is paid for. Columns of user_subscriptions are those of
-- projections; a payment method is what its owner gave, and in no event.

alter table user_subscriptions
    add column paid_until timestamptz, -- null: nothing to pay
    add column next_tier text,         -- from paid_until on; null: the same
    add column failures int not null default 0, -- payments that were refused one after the other
    add column retry_at timestamptz,   -- of the next try, behind paid_until
    drop constraint user_subscriptions_status_check,
    add check (status in ('active', 'past_due', 'canceled'));
create index user_subscriptions_due on user_subscriptions (coalesce(retry_at, paid_until))
    where paid_until is not null;
create index payment_history_user on payment_history (user_id, created_at);

create table payment_methods (
    user_id uuid primary key,
    token text not null
);

-- The share of a price for what is left of a period, in minor units, rounded half up.
create function prorated(price bigint, starts timestamptz, ends timestamptz, at timestamptz) returns bigint
language sql immutable as $$
    select round(price * extract(epoch from greatest(ends - at, interval '0')) /
                 extract(epoch from ends - starts))::bigint
$$;
