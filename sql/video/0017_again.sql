-- It is to be made anew, for it names somebody who is gone; until then it is shown as it is.
alter table video_jobs add column again boolean not null default false;
update video_jobs v set again = true from jobs j
where v.status = 'ready' and j.name = 'render' and j.unique_key = v.video_id::text and j.ended is null;
