-- Who tells a story together, and what collaboration knows of stories and people from others' events.

create table stories (
    story_id uuid primary key,
    author_id uuid not null,
    title text not null
);
create index stories_author on stories (author_id);

create table people (
    user_id uuid primary key,
    display_name text not null,
    locale text not null,
    invitation_limit bigint -- of the tier, per month; null is without limit
);

create table collaborations (
    collaboration_id uuid primary key,
    story_id uuid not null,
    story_title text not null,
    host_id uuid not null,
    mode text not null default 'async',
    status text not null default 'active' check (status in ('active', 'completed', 'cancelled')),
    created_at timestamptz not null default now()
);
create index collaborations_host on collaborations (host_id, collaboration_id desc);
create index collaborations_story on collaborations (story_id);

-- Only the SHA-256 of the token is kept.
create table invitations (
    invitation_id uuid primary key,
    collaboration_id uuid not null references collaborations,
    host_id uuid not null,
    email text not null,
    role text not null,
    token_hash text not null unique,
    status text not null default 'sent' check (status in ('sent', 'accepted', 'cancelled')),
    expires_at timestamptz not null,
    created_at timestamptz not null default now()
);
create index invitations_collaboration on invitations (collaboration_id, invitation_id desc);
create index invitations_host on invitations (host_id, created_at);

create table participants (
    collaboration_id uuid not null references collaborations,
    user_id uuid not null,
    role text not null,
    joined_at timestamptz not null default now(),
    primary key (collaboration_id, user_id)
);
create index participants_user on participants (user_id, collaboration_id desc);
