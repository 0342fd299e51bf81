-- Sagas: work over several services that comes to its end, or is undone. The steps are in the service's table of sagas;
-- a row says how far one has come.

-- state: 'running' goes forward; 'compensating' undoes, last step first; 'done' and 'compensated' are the ends; 'parked'
-- cannot go on by itself and waits for the operator, or for the answer that it still waits for.
-- step: the name of the step that is next or under way; '' when only the end is left.
-- backward: the direction, also of what is parked. waiting: the step's command is given, its answer is to come.
create table sagas (
    saga_id uuid primary key,
    name text not null,
    key text not null,
    state text not null default 'running' check (state in ('running', 'compensating', 'done', 'compensated', 'parked')),
    step text not null,
    backward boolean not null default false,
    waiting boolean not null default false,
    deadline timestamptz, -- of the step
    data jsonb not null,
    metadata jsonb not null,
    error text, -- why it turned back, or was parked
    history jsonb not null default '[]', -- [{at, step, did, error?}]
    created_at timestamptz not null default now(),
    finished_at timestamptz,
    unique (name, key)
);
create index sagas_open on sagas (state) where state in ('running', 'compensating', 'parked');
create index sagas_finished on sagas (finished_at) where finished_at is not null;

-- One entry of the history.
create function saga_did(step_ text, did text, error_ text) returns jsonb language sql as $$
    select jsonb_build_array(jsonb_strip_nulls(jsonb_build_object(
        'at', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'step', step_, 'did', did, 'error', error_)));
$$;

-- The operator lets a parked saga go on: what failed runs again, an answer is waited for as long as at first.
create function saga_retry(id uuid) returns boolean language plpgsql as $$
begin
    update sagas set state = case when backward then 'compensating' else 'running' end, deadline = null,
        history = history || saga_did(step, 'retried by the operator', null)
    where saga_id = id and state = 'parked';
    if not found then
        return false;
    end if;
    insert into jobs (name, unique_key, payload, metadata)
    select 'saga', id::text, jsonb_build_object('sagaId', id), metadata from sagas where saga_id = id
    on conflict (name, unique_key) where state = 'waiting' and unique_key is not null do nothing;
    return true;
end $$;
