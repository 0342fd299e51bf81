-- With how many of the author's corrections an analysis was made: with the same again there is nothing to do.
alter table story_analyses add column corrections int;
update story_analyses a set corrections = s.corrections from stories s where s.story_id = a.story_id;
alter table story_analyses alter column corrections set not null;
