-- What letters a text is written in, as iconv calls it; null where its sender does not say.
alter table story_imports add column charset text;
