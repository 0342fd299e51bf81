-- Passages that a provider films.

alter table video_jobs
    add column pictures text not null default 'drawn' check (pictures in ('drawn', 'filmed'));
drop index video_jobs_film;
create unique index video_jobs_film on video_jobs (narration_id, aspect_ratio, resolution, captions, pictures);

-- wanted: nobody has been asked, or those in `tried` could not. sending: the intent, there before the request.
-- unknown: whether the request has had its effect; it is never sent again. sent: provider_ref is its name there.
create table clips (
    clip_id uuid primary key,
    video_id uuid not null references video_jobs on delete cascade,
    start_ms bigint not null,
    end_ms bigint not null,
    prompt text not null,
    seed bigint not null,
    cache_key text not null,
    state text not null default 'wanted' check (state in ('wanted', 'sending', 'unknown', 'sent', 'done', 'failed')),
    provider text,
    tried text[] not null default '{}',
    provider_ref text,
    polls int not null default 0,
    sent_at timestamptz,
    object_key text,
    reason text
);
create index clips_video on clips (video_id);
create index clips_cache on clips (cache_key) where state = 'done';
