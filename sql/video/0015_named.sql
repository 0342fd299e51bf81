-- Whom the film names at its end. (Of those from before that was not kept: it may be whoever takes part.)
alter table video_jobs add column named uuid[] not null default '{}';
update video_jobs v set named = array(select distinct user_id from story_readers r where r.story_id = v.story_id);
