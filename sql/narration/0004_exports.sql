-- Narrations as files to keep: m4b, epub. Made when somebody asks for one.
create table exports (
    narration_id uuid not null references narrations on delete cascade,
    format text not null check (format in ('m4b', 'epub')),
    status text not null default 'pending' check (status in ('pending', 'ready', 'failed')),
    reason text,
    primary key (narration_id, format)
);

-- Narrations that were made before have no captions.
alter table narrations add column captions boolean not null default false;
