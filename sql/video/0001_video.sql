-- Videos: what has been heard of a story, and the rendering of it.

-- audience is null until the story is published.
create table stories (
    story_id uuid primary key,
    author_id uuid not null,
    audience text,
    analysis_id uuid,
    title text,
    language text,
    segments jsonb,   -- of the analysis, when the event brought them
    text_ref text     -- else where they are kept
);

create table story_readers (
    story_id uuid not null references stories on delete cascade,
    user_id uuid not null,
    primary key (story_id, user_id)
);

-- Stories that are gone: an event about one that is not known is late when it is here, and early when it is not.
create table deleted_stories (
    story_id uuid primary key
);

-- One row for each narration that is made into a video; the newest is the story's.
create table video_jobs (
    video_id uuid primary key,
    story_id uuid not null references stories on delete cascade,
    narration_id uuid not null unique,
    audio_ref text not null,
    timing_ref text not null,
    provider text not null default 'ffmpeg',
    status text not null default 'pending' check (status in ('pending', 'ready', 'failed')),
    reason text,
    duration_ms bigint,
    object_key text,
    created_at timestamptz not null default now(),
    finished_at timestamptz
);
create index video_jobs_story on video_jobs (story_id, video_id desc);

-- A narration that failed leaves the story without a sound track.
create table narration_failures (
    story_id uuid primary key references stories on delete cascade,
    reason text not null
);
