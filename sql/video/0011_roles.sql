-- What somebody came for: not who only listens lends a voice. null: of those from before it is not known.
alter table story_readers add column role text;
