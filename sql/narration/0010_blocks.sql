-- Whose number of narrated characters is used up, until when.
create table blocks (
    user_id uuid primary key,
    until timestamptz not null
);
