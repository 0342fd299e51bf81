-- Links that went out by mail: an author sends so many a day.
alter table story_links add column mailed boolean not null default false;
