-- For projections (workers/lib/svc/service.h), which may use nothing but the event: when it was recorded, and its number
-- within its aggregate. Both are the database's, so a projection that runs beside its event asks for them here.

create function event_time(id uuid) returns timestamptz language sql stable strict as $$
    select recorded_at from events where event_id = id
$$;

create function event_version(id uuid) returns bigint language sql stable strict as $$
    select aggregate_version from events where event_id = id
$$;
