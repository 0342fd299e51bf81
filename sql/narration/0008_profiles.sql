-- Voices that people have lent, each learnt from a sample, by a consent that can be taken back (narration_profile.c).
--
-- waiting: nobody has been asked to learn it, or there was no place. sent: the intent, there before the request; what
-- became of that is looked up by the voice's name, which is made of profile_id. ready: provider_voice speaks. What was
-- withdrawn stays as the record of the consent, without the name and the sample.
create table voice_profiles (
    profile_id uuid primary key,
    user_id uuid not null,
    sample_id uuid,
    name text not null,
    scope text not null check (scope in ('own', 'collaborations')),
    consent_version text not null,
    consent_sha256 text not null,
    consented_at timestamptz not null default now(),
    withdrawn_at timestamptz,
    status text not null default 'waiting' check (status in ('waiting', 'sent', 'ready', 'refused', 'withdrawn')),
    reason text,
    looks int not null default 0,
    provider text,
    provider_voice text
);
create unique index voice_profiles_sample on voice_profiles (sample_id) where sample_id is not null;
create index voice_profiles_user on voice_profiles (user_id, profile_id);
create index voice_profiles_learning on voice_profiles (profile_id) where status in ('waiting', 'sent');

-- A withdrawn voice is looked for in what it speaks.
create index casts_voice on casts (voice);
create index narrations_voices on narrations using gin (voices jsonb_path_ops);
