-- Followers hear of a story once: when it is public for the first time.
alter table stories add column announced boolean not null default false;
update stories set announced = true where published_at is not null and visibility = 'public';
