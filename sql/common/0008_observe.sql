-- What operators and metrics ask.

-- Events that the last batch that was sent does not hold, and for how long the first of them has waited.
create function log_unpublished(out events bigint, out oldest_seconds float8) language sql stable as $$
    with last as (
        select coalesce((select s2 from relay_batches where sent_at is not null order by batch_no desc limit 1),
                        '1:1:') as s2)
    select count(*), coalesce(extract(epoch from clock_timestamp() - min(recorded_at)), 0)::float8
    from events, last where tx >= pg_snapshot_xmin(s2) and not pg_visible_in_snapshot(tx, s2);
$$;
