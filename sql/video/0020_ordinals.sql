-- Which of a story's narrations is newer, narrations say by their ordinal: not by their id, for clocks differ and are
-- set back. Those of before it was told are older than all others, in the order of their ids; 0: it was told of before,
-- and comes only now.
alter table video_jobs add column ordinal bigint not null default 0;
alter table narration_failures add column ordinal bigint not null default 0;
create temporary table told on commit drop as
select narration_id, -row_number() over (order by narration_id desc) as ordinal
from (select narration_id from video_jobs union select narration_id from narration_failures) n;
update video_jobs v set ordinal = t.ordinal from told t where t.narration_id = v.narration_id;
update narration_failures f set ordinal = t.ordinal from told t where t.narration_id = f.narration_id;

create or replace view superseded as
select v.video_id, v.pictures
from video_jobs v
where exists (
    select
    from video_jobs later
    where later.story_id = v.story_id and later.ordinal > v.ordinal
        and later.status = 'ready' and later.finished_at < now() - interval '1 day');
