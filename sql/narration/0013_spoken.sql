-- What a synthesiser has said for a narration, over all attempts: utterances, and the characters of their text, which are
-- what usage counts. What came from the cache is in neither.
alter table narrations add column spoken bigint not null default 0,
    add column spoken_characters bigint not null default 0,
    add column incomplete int; -- segments that are not heard whole; null: of before it was counted
