-- Search looks into the whole of a text. A row of the index is a part of it: positions, by which words stand side by
-- side, are counted to 16383, and 255 times for a word; and no vector may pass 1 MB.

-- Scripts that put no spaces between words, and Hangul, whose words grow at their end: each character is a word, so that
-- a word is a phrase of them. What divides them is no space: it is taken out of an excerpt again.
create or replace function story_words(text_ text) returns text language sql immutable parallel safe as $$
    select regexp_replace(text_, '([\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u31ff\u3400-\u9fff'
        '\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\U00020000-\U0003ffff])', U&'\200B\\1\200B', 'g')
$$;

-- Part n, from 1 on, of a text: 4096 characters, of which 512 are of the one before, for what stands across the border.
create function story_part(content text, n int) returns text language sql immutable parallel safe as $$
    select substr(content, (n - 1) * 3584 + 1, 4096)
$$;

-- All of them, each beginning and ending with a whole word where there are spaces. By blocks of 16, for characters far
-- into a text are counted slowly.
create function story_parts(content text) returns table (part int, words text)
language sql immutable parallel safe as $$
    with block as materialized (
        select b * 16 as parts, substr(content, b * 57344 + 1, 57344 + 512) as chars
        from generate_series(0, greatest(length(content) - 1, 0) / 57344) b)
    select part, case when part * 3584 + 512 >= (select length(content)) then begun
        else left(begun, -80) || regexp_replace(right(begun, 80), '\s\S*$', '') end
    from (
        select parts + n as part, case when parts + n = 1 then story_part(chars, n)
            else regexp_replace(story_part(chars, n), '^\S{0,80}\s', '') end as begun
        from block
        cross join generate_series(1, ceil(greatest(length(chars) - 512, (parts = 0)::int) / 3584.0)::int) n) p
$$;

drop table story_search;
drop function story_vector(text, text, text);
create table story_search (
    story_id uuid not null references stories on delete cascade,
    part int not null,        -- 0: the title
    config regconfig not null,
    words tsvector not null,
    primary key (story_id, part)
);
create index story_search_words on story_search using gin (words);

-- After its title, or more, has changed.
create function story_index(id uuid, whole boolean) returns void
language sql set client_min_messages = warning as $$ -- words of thousands of letters are left out, in silence
    delete from story_search where story_id = id and (whole or part = 0);
    with story as materialized (
        select story_config(language) as config, title, content from stories where story_id = id)
    insert into story_search
    select id, 0, config, setweight(to_tsvector(config, story_words(title)), 'A') from story union all
    select id, part, config, setweight(to_tsvector(config, story_words(words)), 'B')
    from story cross join story_parts(content) where whole
$$;
select story_index(story_id, true) from stories;

-- What is asked for, as it is written: words and "words side by side", from the next `or` on of another clause, and
-- those that must not be there.
create function story_asked(question text) returns table (clause bigint, atom bigint, refused boolean, words text)
language sql immutable parallel safe as $$
    select * from (
        select count(*) filter (where lower(said[2]) = 'or') over (order by n), n, said[1] = '-', said[2]
        from regexp_matches(question, '(-?)("[^"]*"?|[^\s"]+)', 'g') with ordinality found (said, n)) a (clause, atom, refused, words)
    where lower(words) <> 'or'
$$;
