-- As events_claim, for who takes all of them for new and has begun with their work: SQLSTATE ST001, which undoes it,
-- when one of them is not, or the lease is another's. So claim, work and commit are one trip.
create function events_claim_new(stream_ text, fence_ bigint, ms_ bigint[], n_ bigint[], ids uuid[], aggregates text[],
                                 lazily boolean)
returns void language plpgsql as $$
begin
    if events_claim(stream_, fence_, ms_, n_, ids, aggregates, lazily) is distinct from repeat('n', cardinality(ids))
    then
        raise exception 'not all are new, or the lease was taken over' using errcode = 'ST001';
    end if;
end $$;
