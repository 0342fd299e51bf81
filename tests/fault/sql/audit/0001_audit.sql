-- Every event, as often as it took effect.

create table seen (
    position bigint generated always as identity primary key,
    event_id uuid not null,
    event_type text not null
);
