-- Files that people bring, until a job has made stories of them (story_import.c).
create table story_imports (
    import_id uuid primary key,
    user_id uuid not null,
    tier text not null,
    kind text not null check (kind in ('t', 'm', 'e')), -- text, Markdown, EPUB (import.h)
    title text,      -- as asked for; else the file's
    visibility text not null,
    draft boolean not null,
    file bytea,      -- null when it has been read
    status text not null default 'pending' check (status in ('pending', 'ready', 'failed')),
    reason text,
    story_id uuid,
    created_at timestamptz not null default now()
);
create index story_imports_age on story_imports (created_at);
