-- What lists show of stories and their authors becomes projections of the log (story_project.c). Rows of before are
-- brought to what the events make of them; for those whose events have left the log, or never were, one is written.
-- (stories.collaborator_count is read no more, and goes in a later release.)

-- The document's StoryListView; authorName stands in authors.
create table story_list_view (
    story_id uuid primary key,
    author_id uuid not null,
    title text not null,
    collaborator_count int not null,
    last_updated timestamptz not null
);

-- UUIDv7, for the events that are written here.
create function pg_temp.new_id() returns uuid language sql volatile as $$
    select encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) placing
        substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 52, 1),
        53, 1), 'hex')::uuid
$$;

create function pg_temp.write_event(type text, of_type text, of_id text, payload_ jsonb) returns void
language plpgsql as $$
declare
    n bigint;
begin
    insert into aggregates (aggregate_type, aggregate_id, version) values (of_type, of_id, 1)
    on conflict (aggregate_type, aggregate_id) do update set version = aggregates.version + 1 returning version into n;
    insert into events (event_id, event_type, aggregate_type, aggregate_id, aggregate_version, version, metadata, payload)
    values (pg_temp.new_id(), type, of_type, of_id, n, '1.0.0', '{"correlationId": "migration"}', payload_);
end $$;

select pg_temp.write_event('AuthorNamed', 'author', author_id::text,
    jsonb_build_object('authorId', author_id, 'displayName', display_name))
from authors;

select pg_temp.write_event('StoryUpdated', 'story', story_id::text, jsonb_build_object('storyId', story_id,
    'authorId', author_id, 'title', title, 'contentHash', content_hash, 'visibility', visibility, 'version', version))
from stories s
where deleted_at is null and not exists (select from events e where e.aggregate_type = 'story'
    and e.aggregate_id = s.story_id::text and e.event_type in ('StoryCreated', 'StoryRestored'));

select pg_temp.write_event('CollaboratorsChanged', 'story', story_id::text,
    jsonb_build_object('storyId', story_id, 'collaborators', count(*)))
from story_collaborators group by story_id;

insert into story_list_view (story_id, author_id, title, collaborator_count, last_updated)
select story_id, author_id, title, (select count(*) from story_collaborators c where c.story_id = s.story_id),
    (select max(recorded_at) from events e where e.aggregate_type = 'story' and e.aggregate_id = s.story_id::text
        and e.event_type in ('StoryCreated', 'StoryUpdated', 'StoryRestored', 'StoryPublished', 'StoryUnpublished'))
from stories s
where deleted_at is null;

-- All public stories, by the time they were published.
create index stories_published on stories (published_at desc, story_id desc)
    where published_at is not null and visibility = 'public' and deleted_at is null;
