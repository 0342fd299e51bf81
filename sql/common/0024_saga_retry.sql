-- saga_retry as 0014 has it, but an equal job that waits is locked until the commit, so that it does not begin with what
-- was true before (as st_enqueue does it).

-- The operator lets a parked saga go on: what failed runs again, an answer is waited for as long as at first.
create or replace function saga_retry(id uuid) returns boolean language plpgsql as $$
begin
    update sagas set state = case when backward then 'compensating' else 'running' end, deadline = null,
        history = history || saga_did(step, 'retried by the operator', null)
    where saga_id = id and state = 'parked';
    if not found then
        return false;
    end if;
    insert into jobs (name, unique_key, payload, metadata)
    select 'saga', id::text, jsonb_build_object('sagaId', id), metadata from sagas where saga_id = id
    on conflict (name, waiting_key) where waiting_key is not null do update set payload = jobs.payload where false;
    return true;
end $$;
