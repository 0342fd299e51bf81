-- Voices that were taken back, until the provider surely has none of their name any more: a request that was on its way
-- may have been carried out late, and a provider may be away for longer than a job is tried. Looked for every few
-- minutes (narration_clone.c); outlives the account.
create table withdrawn_voices (
    profile_id uuid primary key,
    provider_voice text,
    withdrawn_at timestamptz not null default now()
);
insert into withdrawn_voices select profile_id, provider_voice from voice_profiles where status = 'withdrawn' and provider_voice is not null;
