-- Narrations: what has been heard of a story, and the sound made of it.

-- audience is null until the story is published.
create table stories (
    story_id uuid primary key,
    author_id uuid not null,
    audience text,
    title text not null,
    characters jsonb not null default '[]' -- of the newest analysis, for the cast
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

-- One row for each analysis that is narrated; the newest is the story's.
create table narrations (
    narration_id uuid primary key,
    story_id uuid not null references stories on delete cascade,
    analysis_id uuid not null unique,
    language text not null,
    characters jsonb not null,
    segments jsonb,  -- when the event brought them
    text_ref text,   -- else where they are kept
    status text not null default 'pending' check (status in ('pending', 'ready', 'failed')),
    reason text,
    voices jsonb not null default '[]',
    timing text,     -- [{segmentId, startMs, endMs}] as the API shows it
    duration_ms bigint,
    object_key text,
    created_at timestamptz not null default now(),
    finished_at timestamptz
);
create index narrations_story on narrations (story_id, narration_id desc);
