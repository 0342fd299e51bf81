-- Who speaks with which voice, how words are said, previews, and narrations that somebody has asked for again.

alter table stories add column cast_version int not null default 1;

-- character '' is the narrator. chosen by the author, else by us: those stay, so that an edit changes nobody's voice.
create table casts (
    story_id uuid not null references stories on delete cascade,
    character text not null,
    voice text not null,
    chosen boolean not null default false,
    primary key (story_id, character)
);

-- Segments that were to be spoken anew, and how often.
create table takes (
    story_id uuid not null references stories on delete cascade,
    segment_id text not null,
    take int not null default 1,
    primary key (story_id, segment_id)
);

-- Each change of the rules is a version; the newest is in force. rules: [{word, say}].
create table story_pronunciations (
    story_id uuid not null references stories on delete cascade,
    version int not null,
    rules jsonb not null,
    created_at timestamptz not null default now(),
    primary key (story_id, version)
);
create table user_pronunciations (
    user_id uuid not null,
    version int not null,
    rules jsonb not null,
    created_at timestamptz not null default now(),
    primary key (user_id, version)
);

create table previews (
    preview_id uuid primary key,
    user_id uuid not null,
    voice text not null,
    language text not null,
    text text not null,
    emotion text not null,
    status text not null default 'pending' check (status in ('pending', 'ready', 'failed')),
    reason text,
    created_at timestamptz not null default now()
);
create index previews_created on previews (created_at);
create index previews_user on previews (user_id);

-- One that comes by itself for each analysis; any number that are asked for. pronunciations: the versions it was made
-- with; chapters: [{title, startMs, endMs}]; cached_share: how much needed no synthesis.
alter table narrations drop constraint narrations_analysis_id_key;
alter table narrations add column requested boolean not null default false, add column pronunciations jsonb,
    add column chapters jsonb, add column cached_share float8;
create unique index narrations_analysis on narrations (analysis_id) where not requested;
