-- Stories, what their analysis found, and what story knows of people from others' events.

create table stories (
    story_id uuid primary key,
    author_id uuid not null,
    title text not null,
    content text not null,
    content_hash text not null,
    language text,                -- given by the author, else found by the analysis
    language_given boolean not null,
    visibility text not null check (visibility in ('private', 'link', 'public')),
    state text not null check (state in ('draft', 'analyzing', 'ready', 'narrating', 'published')),
    version bigint not null default 1,
    collaborator_count int not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    published_at timestamptz
);
create index stories_author on stories (author_id, story_id desc);

-- One row for each content analysed by each version of the analyser; segments as the API shows them.
create table story_analyses (
    analysis_id uuid primary key,
    story_id uuid not null references stories on delete cascade,
    content_hash text not null,
    analyser_version int not null,
    language text not null,
    segments text not null,
    created_at timestamptz not null default now(),
    unique (story_id, content_hash, analyser_version)
);

create table story_characters (
    analysis_id uuid not null references story_analyses on delete cascade,
    position int not null,
    name text not null,
    aliases jsonb not null,
    mentions int not null,
    gender text,
    age text,
    primary key (analysis_id, position)
);

-- How much of the story is told in each emotion.
create table story_emotions (
    analysis_id uuid not null references story_analyses on delete cascade,
    emotion text not null,
    segments int not null,
    intensity double precision not null,
    primary key (analysis_id, emotion)
);

-- Copies of others' facts: names of authors, who collaborates, who has used up the tier.
create table authors (
    author_id uuid primary key,
    display_name text not null
);

create table story_collaborators (
    story_id uuid not null references stories on delete cascade,
    user_id uuid not null,
    primary key (story_id, user_id)
);
create index story_collaborators_user on story_collaborators (user_id, story_id desc);

create table blocks (
    user_id uuid primary key,
    until timestamptz not null
);
