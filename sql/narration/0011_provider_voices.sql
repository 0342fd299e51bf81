-- Voices that an account with a provider has, as it listed them last (narration_clone.c).
create table provider_voices (
    voice text primary key, -- "<provider>:<voice>"
    name text not null,
    gender text not null,
    age text not null
);
