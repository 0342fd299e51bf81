-- The tables that every service database has: event log, relay, inbox, retries, jobs, schedules, idempotency.

-- The version of each aggregate. Emitting an event updates (and so locks) this row before the event gets its seq; that
-- is what keeps the events of one aggregate in order for the relay.
create table aggregates (
    aggregate_type text not null,
    aggregate_id text not null,
    version bigint not null,
    primary key (aggregate_type, aggregate_id)
);

-- The log: outbox, audit trail and event store at once. Append-only.
create table events (
    seq bigint generated always as identity primary key,
    tx xid8 not null default pg_current_xact_id(),
    event_id uuid not null unique,
    event_type text not null,
    aggregate_type text not null,
    aggregate_id text not null,
    aggregate_version bigint not null,
    recorded_at timestamptz not null default clock_timestamp(),
    version text not null,
    metadata jsonb not null,
    payload jsonb not null,
    unique (aggregate_type, aggregate_id, aggregate_version)
);
create index events_by_tx on events (tx, seq);

-- The relay's cursor and history. A batch is what snapshot s2 sees and s1 did not, of the events after after_seq and up
-- to upto_seq. It is recorded before it is sent, and its number is the first half of the ids on the bus. Numbers follow
-- the clock (milliseconds), so that a database restored to an earlier day does not use one again.
create table relay_batches (
    batch_no bigint primary key,
    system_identifier text not null,
    s1 pg_snapshot not null,
    s2 pg_snapshot not null,
    after_seq bigint not null default 0,
    upto_seq bigint not null default 9223372036854775807,
    created_at timestamptz not null default now(),
    sent_at timestamptz
);
create index relay_batches_unsent on relay_batches (batch_no) where sent_at is null;

-- Of each partition: the id of the last entry that was sent, and the first that some group may still need. What lies
-- between is published again when the bus has lost it.
create table relay_partitions (
    partition int primary key,
    sent_batch bigint not null,
    sent_n bigint not null,
    kept_batch bigint not null default 0,
    kept_n bigint not null default 0
);

-- Groups that have been seen reading our events. Nothing is trimmed while one of them is missing on the bus (a bus that
-- came back empty has only the groups whose services are up). Delete the row of a service that is gone for good.
create table relay_groups (
    group_name text primary key,
    seen_at timestamptz not null default now()
);

-- Events this service has handled: what is here is a duplicate.
create table inbox (
    event_id uuid primary key,
    received_at timestamptz not null default now()
);

-- How far this service has read each partition ("story:2") of each publisher. Every transaction that handles an event
-- moves the position first: that locks the row, and fails for a consumer whose lease (fence) has been taken over.
create table stream_positions (
    stream text primary key,
    ms bigint not null default 0,
    n bigint not null default 0,
    fence bigint not null default 0
);

-- Events that could not be handled, and those of the same aggregate that wait behind them in order (run_at infinity).
-- state 'dead': given up, waits for the operator; the aggregate's later events go on. To try a dead one again, set
-- state 'waiting', attempts 0, run_at now().
create table parked_events (
    position bigint generated always as identity primary key,
    event_id uuid not null unique,
    stream text not null,
    aggregate_id text not null,
    event_type text not null,
    correlation_id text not null,
    envelope jsonb not null,
    state text not null default 'waiting' check (state in ('waiting', 'dead')),
    attempts int not null default 0,
    run_at timestamptz not null default now(),
    error text,
    parked_at timestamptz not null default now()
);
create index parked_events_waiting on parked_events (stream, aggregate_id, position) where state = 'waiting';
create index parked_events_due on parked_events (run_at) where state = 'waiting';

-- Moves the position to an event. 'ok'; 'past': it was read before; 'fenced': another consumer has the lease.
create function stream_advance(stream_ text, fence_ bigint, ms_ bigint, n_ bigint) returns text language plpgsql as $$
begin
    update stream_positions set ms = ms_, n = n_ where stream = stream_ and fence = fence_ and (ms, n) < (ms_, n_);
    if found then
        return 'ok';
    end if;
    perform from stream_positions where stream = stream_ and fence = fence_ for share;
    return case when found then 'past' else 'fenced' end;
end $$;

-- Moves the position to an event and claims it. 'new': handle it in this transaction. 'duplicate': done before.
-- 'behind': an earlier event of its aggregate waits for a retry: park it, due at infinity. 'fenced'.
create function event_claim(stream_ text, fence_ bigint, ms_ bigint, n_ bigint, id uuid, aggregate text)
returns text language plpgsql as $$
declare
    moved text := stream_advance(stream_, fence_, ms_, n_);
begin
    if moved <> 'ok' then
        return case moved when 'past' then 'duplicate' else moved end;
    end if;
    if exists (select from inbox where event_id = id) or exists (select from parked_events where event_id = id) then
        return 'duplicate';
    end if;
    if exists (select from parked_events
               where stream = stream_ and aggregate_id = aggregate and state = 'waiting') then
        return 'behind';
    end if;
    insert into inbox (event_id) values (id) on conflict do nothing;
    return case when found then 'new' else 'duplicate' end;
end $$;

-- Moves the position past an event that failed, and parks it ('waiting', delay_ms from now) or buries it ('dead').
create function event_park(stream_ text, fence_ bigint, ms_ bigint, n_ bigint, id uuid, aggregate text, type text,
                           correlation text, envelope_ jsonb, state_ text, delay_ms bigint, error_ text)
returns text language plpgsql as $$
declare
    moved text := stream_advance(stream_, fence_, ms_, n_);
begin
    if moved = 'ok' and not exists (select from inbox where event_id = id) then
        insert into parked_events (event_id, stream, aggregate_id, event_type, correlation_id, envelope, state,
                                   attempts, run_at, error)
        values (id, stream_, aggregate, type, correlation, envelope_, state_, 1,
                clock_timestamp() + delay_ms * interval '1 millisecond', error_)
        on conflict do nothing;
    end if;
    return moved;
end $$;

-- The next of an aggregate that waits behind becomes due.
create function parked_wake(stream_ text, aggregate text) returns void language sql as $$
    update parked_events set run_at = clock_timestamp()
    where run_at = 'infinity' and state = 'waiting'
      and position = (select min(position) from parked_events
                      where stream = stream_ and aggregate_id = aggregate and state = 'waiting');
$$;

-- Claims a parked event for another attempt, in the transaction that handles it: it is no longer parked, and the next of
-- its aggregate is due, if that commits. 'new', 'duplicate', 'gone' (the operator took it), 'fenced'.
create function parked_claim(stream_ text, fence_ bigint, position_ bigint) returns text language plpgsql as $$
declare
    e record;
begin
    perform from stream_positions where stream = stream_ and fence = fence_ for update;
    if not found then
        return 'fenced';
    end if;
    delete from parked_events where position = position_ and state = 'waiting' returning event_id, aggregate_id into e;
    if not found then
        return 'gone';
    end if;
    perform parked_wake(stream_, e.aggregate_id);
    insert into inbox (event_id) values (e.event_id) on conflict do nothing;
    return case when found then 'new' else 'duplicate' end;
end $$;

-- Another attempt has failed: wait again, or bury it and wake the next of the aggregate.
create function parked_fail(stream_ text, fence_ bigint, position_ bigint, state_ text, delay_ms bigint, error_ text)
returns text language plpgsql as $$
declare
    aggregate text;
begin
    perform from stream_positions where stream = stream_ and fence = fence_ for update;
    if not found then
        return 'fenced';
    end if;
    update parked_events set state = state_, attempts = attempts + 1, error = error_,
        run_at = clock_timestamp() + delay_ms * interval '1 millisecond'
    where position = position_ and state = 'waiting' returning aggregate_id into aggregate;
    if found and state_ = 'dead' then
        perform parked_wake(stream_, aggregate);
    end if;
    return 'ok';
end $$;

-- Outside and long work. lease_token fences: a worker whose lease was taken over can neither finish nor extend.
create table jobs (
    job_id bigint generated always as identity primary key,
    name text not null,
    unique_key text,
    payload jsonb not null,
    metadata jsonb not null,
    state text not null default 'waiting' check (state in ('waiting', 'running', 'done', 'dead', 'cancelled')),
    priority int not null default 0,
    run_at timestamptz not null default now(),
    attempts int not null default 0,
    lease_token uuid,
    lease_until timestamptz,
    progress_done bigint,
    progress_total bigint,
    error text,
    created_at timestamptz not null default now(),
    finished_at timestamptz
);
create unique index jobs_one_waiting on jobs (name, unique_key) where state = 'waiting' and unique_key is not null;
create index jobs_next on jobs (name, priority desc, run_at, job_id) where state = 'waiting';
create index jobs_due on jobs (run_at) where state = 'waiting';
create index jobs_running on jobs (lease_until) where state = 'running';
create index jobs_by_key on jobs (name, unique_key) where state = 'running';
create index jobs_dead on jobs (job_id) where state = 'dead';
create index jobs_finished on jobs (finished_at) where state in ('done', 'cancelled');

-- Gives a leased job back, to run again in delay_ms. When an equal one waits already, that one takes its place.
-- 'fenced': the lease is not ours any more.
create function job_release(id bigint, token uuid, attempts_ int, delay_ms bigint, error_ text)
returns text language plpgsql as $$
declare
    due timestamptz := clock_timestamp() + delay_ms * interval '1 millisecond';
    me record;
begin
    select name, unique_key into me from jobs
    where job_id = id and lease_token = token and state = 'running' for update;
    if not found then
        return 'fenced';
    end if;
    update jobs set attempts = greatest(attempts, attempts_), run_at = greatest(run_at, due)
    where name = me.name and unique_key = me.unique_key and state = 'waiting';
    if found then
        update jobs set state = 'cancelled', finished_at = now(), error = 'an equal job that waits takes its place'
        where job_id = id;
    else
        update jobs set state = 'waiting', attempts = attempts_, run_at = due, lease_token = null,
            lease_until = null, error = error_
        where job_id = id;
    end if;
    return 'ok';
end $$;

create table schedules (
    name text primary key,
    last_run timestamptz not null
);

-- The stored answer for an Idempotency-Key; written in the transaction it belongs to.
create table idempotency_keys (
    user_id text not null,
    operation text not null,
    key text not null,
    request_hash text not null,
    status int,
    headers jsonb,
    body text,
    created_at timestamptz not null default now(),
    primary key (user_id, operation, key)
);
create index idempotency_keys_age on idempotency_keys (created_at);
