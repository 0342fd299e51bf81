-- As before; but each attempt that has ended its process doubles the wait for the next. Who is killed from outside, again
-- and again, is no poison: that ends sooner or later.
create or replace function parked_begin(stream_ text, fence_ bigint, positions bigint[], by uuid, delay_ms bigint)
returns int language plpgsql as $$
declare
    so_far int;
begin
    perform set_config('synchronous_commit', 'off', true);
    with begun as (
        update parked_events set crashes = crashes + (tried_by is not null and tried_by <> by)::int, tried_by = by,
            run_at = case when run_at = 'infinity' then run_at
                     else clock_timestamp() + delay_ms * interval '1 millisecond'
                          * 2 ^ (crashes + (tried_by is not null and tried_by <> by)::int) end
        where position = any (positions) and state = 'waiting'
          and exists (select from stream_positions where stream = stream_ and fence = fence_)
        returning crashes)
    select max(crashes) into so_far from begun;
    return so_far;
end $$;
