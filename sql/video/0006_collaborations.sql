-- By which collaborations somebody may see a story: until the last of these ends for them. (For those of before it is
-- not known; they leave with the first.)
alter table story_readers add column collaboration_id uuid, drop constraint story_readers_pkey;
create unique index story_readers_key on story_readers (story_id, user_id, collaboration_id) nulls not distinct;

-- The last collaboration that was brought to its end; a film made from then on names who took part in it.
alter table stories add column collaboration_id uuid;
alter table video_jobs add column collaboration_id uuid;
drop index video_jobs_film;
create unique index video_jobs_film on video_jobs (narration_id, aspect_ratio, resolution, captions, pictures,
    collaboration_id) nulls not distinct;
