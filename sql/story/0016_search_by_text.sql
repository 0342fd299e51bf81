-- A part of a text is known by its words, not by where it stands: after an edit only what is new of it is indexed. Its
-- borders go by its words, too (story_search.c).
alter table story_search rename to search_before;
create table story_search (
    story_id uuid not null references stories on delete cascade,
    hash uuid not null,       -- of the text, how it is read, and whether it is the title
    part int not null,        -- its place; 0: the title
    config regconfig not null,
    text text not null,
    words tsvector not null,
    primary key (story_id, hash)
);

-- Makes `texts`, a story's title and the parts of its content, what is found of it.
drop function story_index(uuid, boolean);
create function story_index(id uuid, texts json) returns void
language sql set client_min_messages = warning as $$ -- words of thousands of letters are left out, in silence
    with story as (select story_config(language) as config from stories where story_id = id),
    now as materialized (
        select min(n) - 1 as part, config, text,
            md5(config || case when n = 1 then ' title ' else ' text ' end || text)::uuid as hash
        from json_array_elements_text(texts) with ordinality t (text, n) cross join story group by config, text, n = 1),
    gone as (
        delete from story_search s where story_id = id and not exists (select from now where now.hash = s.hash)),
    moved as (
        update story_search s set part = now.part from now
        where s.story_id = id and s.hash = now.hash and s.part <> now.part)
    insert into story_search
    select id, hash, part, config, text,
        setweight(to_tsvector(config, story_words(text)), case when part = 0 then 'A' else 'B' end::"char")
    from now where not exists (select from story_search s where s.story_id = id and s.hash = now.hash)
$$;
select story_index(story_id, (
    select json_agg(text order by part)
    from (select 0 as part, title as text union all select part, words from story_parts(content)) t))
from stories where story_id in (select story_id from search_before);
drop table search_before;
drop function story_parts(text);
drop function story_part(text, int);
create index story_search_words on story_search using gin (words);
