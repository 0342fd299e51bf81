-- Which is newer, narrations say: a film of an older one may have been asked for later.
create or replace view superseded as
select v.video_id, v.pictures
from video_jobs v
where exists (
    select
    from video_jobs later
    where later.story_id = v.story_id and later.narration_id > v.narration_id
        and later.status = 'ready' and later.finished_at < now() - interval '1 day');
