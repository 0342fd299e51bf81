-- An attempt of a schedule begins, if nobody has made one since the row was read: it counts as failed until the run says
-- otherwise, in its own transaction. So one that ends its process is tried again with growing pauses, and given up in
-- the end, as one that fails. A crash of the database may forget it.
create function schedule_begin(name_ text, last_run_ timestamptz, attempts_ int, delay_ms bigint) returns boolean
language plpgsql as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    insert into schedules as s (name, last_run, attempts, retry_at, error)
    values (name_, '-infinity', 1, clock_timestamp() + delay_ms * interval '1 millisecond', 'its process has ended')
    on conflict (name) do update set attempts = s.attempts + 1, retry_at = excluded.retry_at, error = excluded.error
    where s.attempts = attempts_ and s.last_run = last_run_;
    return found;
end $$;
