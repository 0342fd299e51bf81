-- Who speaks whom, and what is known of their voices from narration's events.
alter table participants add column characters jsonb; -- names; null: nobody

-- Names; null: the story has not been analysed, so far as is known here.
alter table stories add column characters jsonb;

-- recorded: a sample is there. ready: profile_id can speak in collaborations.
create table voices (
    user_id uuid primary key,
    state text not null check (state in ('recorded', 'ready')),
    profile_id uuid
);
create index voices_profile on voices (profile_id);
