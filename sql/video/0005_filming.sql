-- What filmed passages take of their author's tier is reserved before they are filmed: the saga that does it, from the
-- plan until the film is ready or given up.
alter table video_jobs add column filming uuid;
