-- Links that went out by mail are counted, also those that are revoked since, or whose story is gone.
create table story_mails (
    author_id uuid not null,
    mailed_at timestamptz not null default now()
);
create index story_mails_author on story_mails (author_id, mailed_at);
insert into story_mails
select s.author_id, l.created_at from story_links l join stories s using (story_id)
where l.mailed and l.created_at > now() - interval '1 day';
alter table story_links drop column mailed;
