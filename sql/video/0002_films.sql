-- Several films of one narration, and who lent a voice to it.

alter table video_jobs
    add column aspect_ratio text not null default '16:9' check (aspect_ratio in ('16:9', '9:16')),
    add column resolution text not null default '720p' check (resolution in ('720p', '1080p')),
    add column captions text not null default 'burned' check (captions in ('burned', 'track')),
    add column asked_at timestamptz not null default now(),
    drop constraint video_jobs_narration_id_key;
create unique index video_jobs_film on video_jobs (narration_id, aspect_ratio, resolution, captions);

-- Whom a participant speaks, when that was said.
alter table story_readers add column "character" text;

-- The names of people, for end cards.
create table people (
    user_id uuid primary key,
    display_name text not null
);
