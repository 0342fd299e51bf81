-- What a chat provider has said of a passage, by the hash of question and passage: an edit asks only for the passages
-- that it has changed.
create table story_chat_answers (
    story_id uuid not null references stories on delete cascade,
    passage_hash text not null,
    answer text not null, -- {characters, lines}, as it was checked
    primary key (story_id, passage_hash)
);
