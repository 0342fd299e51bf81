-- Characters that were spoken for the story's narrations before, of which nothing came: they are in the cache, and whoever
-- finds them there pays for them. Moved when a narration is begun (narration_start_speaking).
alter table narrations add column unpaid_characters bigint not null default 0;
