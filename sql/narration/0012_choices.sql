-- What an author has chosen for a story outlives its deletion as long as it may be restored: voices, takes and rules stay
-- without a row of stories, and nobody reaches them without one. The row here says whose they are; author_id is null
-- when nothing is kept, or not any more (narration_drop_choices).
alter table casts drop constraint casts_story_id_fkey;
alter table takes drop constraint takes_story_id_fkey;
alter table story_pronunciations drop constraint story_pronunciations_story_id_fkey;
alter table deleted_stories add column author_id uuid, add column deleted_at timestamptz not null default now();
create index deleted_stories_author on deleted_stories (author_id) where author_id is not null;
create index deleted_stories_kept on deleted_stories (deleted_at) where author_id is not null;
