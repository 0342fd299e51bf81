-- By which collaborations somebody may hear a story: until the last of these ends for them. (For those of before it is
-- not known; they leave with the first.)
alter table story_readers add column collaboration_id uuid, drop constraint story_readers_pkey;
create unique index story_readers_key on story_readers (story_id, user_id, collaboration_id) nulls not distinct;
