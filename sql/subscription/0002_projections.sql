-- The tables of subscription become projections of its log (subscription_project.c), but for subscription_tiers, which
-- are config/tiers.yaml. Rows of before are brought to what the events make of them; for those that had no event, one
-- is written.

-- UUIDv7, for the events that are written here.
create function pg_temp.new_id() returns uuid language sql volatile as $$
    select encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) placing
        substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 52, 1),
        53, 1), 'hex')::uuid
$$;

create function pg_temp.write_event(type text, of_type text, of_id text, payload_ jsonb) returns void
language plpgsql as $$
declare
    n bigint;
begin
    insert into aggregates (aggregate_type, aggregate_id, version) values (of_type, of_id, 1)
    on conflict (aggregate_type, aggregate_id) do update set version = aggregates.version + 1 returning version into n;
    insert into events (event_id, event_type, aggregate_type, aggregate_id, aggregate_version, version, metadata, payload)
    values (pg_temp.new_id(), type, of_type, of_id, n, '1.0.0', '{"correlationId": "migration"}', payload_);
end $$;

alter table user_subscriptions drop constraint user_subscriptions_tier_fkey,
    alter column anchor drop default, alter column created_at drop default;
alter table payment_history alter column created_at drop default;

-- As SubscriptionCreated says it: the anchor in milliseconds, and when it was recorded.
update user_subscriptions s set anchor = (e.payload->>'effectiveAt')::timestamptz, created_at = e.recorded_at
from events e
where e.event_type = 'SubscriptionCreated' and e.aggregate_id = s.subscription_id::text;

-- Whoever had a subscription and has none was deleted, before this was said by an event.
insert into erased_users (user_id)
select distinct (payload->>'userId')::uuid from events e
where event_type = 'SubscriptionCreated'
  and not exists (select from user_subscriptions s where s.subscription_id::text = e.aggregate_id)
on conflict do nothing;
select pg_temp.write_event('UserDataErased', 'user', user_id::text,
    jsonb_build_object('userId', user_id, 'service', 'subscription', 'tables', '[]'::jsonb))
from erased_users u
where not exists (select from events e where e.event_type = 'UserDataErased' and e.aggregate_id = u.user_id::text);

-- A limit is announced once per period, which is known by its end.
alter table limits_reached drop constraint limits_reached_pkey;
alter table limits_reached add column resets_at timestamptz;
delete from limits_reached;
alter table limits_reached drop column period_start, alter column resets_at set not null,
    add primary key (user_id, metric, resets_at);
insert into limits_reached (user_id, metric, resets_at)
select (payload->>'userId')::uuid, payload->>'metric', (payload->>'resetsAt')::timestamptz from events e
where event_type = 'UsageLimitReached'
  and not exists (select from erased_users u where u.user_id::text = e.payload->>'userId')
on conflict do nothing;

-- What was used had no event of this service's own.
select pg_temp.write_event('UsageRecorded', 'usage', user_id::text, jsonb_build_object('userId', user_id,
    'metric', metric, 'amount', amount, 'sourceEventId', source_event,
    'usedAt', to_char(used_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))
from (select * from usage_tracking order by used_at, source_event) u;
