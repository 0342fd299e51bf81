-- Which narration it was that failed, and when: one that is older than what there is to be seen is of no account. (Of
-- those from before it is not known; they count where there is no film.)
alter table narration_failures
    add column narration_id uuid not null default '00000000-0000-0000-0000-000000000000',
    add column failed_at timestamptz not null default now();
alter table narration_failures alter column narration_id drop default;

-- A film that was stopped for a newer one has come to its end.
update video_jobs v set status = 'failed', reason = 'The story has changed.', finished_at = now()
where status = 'pending' and exists (select from video_jobs n where n.story_id = v.story_id
    and n.narration_id > v.narration_id);
