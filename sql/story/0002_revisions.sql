-- A story's past and its end: every title, text and language that it had, and thirty days in which a deleted one can
-- come back.

alter table stories
    add column revision int not null default 1,
    add column deleted_at timestamptz,
    add column analysis_error text; -- why the last analysis has failed; then the story is a draft again
create index stories_deleted on stories (deleted_at) where deleted_at is not null;

-- The newest is also in the story's own row. language: as the author has given it.
create table story_revisions (
    story_id uuid not null references stories on delete cascade,
    revision int not null,
    title text not null,
    content text not null,
    content_hash text not null,
    language text,
    restored_from int,
    created_at timestamptz not null default now(),
    primary key (story_id, revision)
);
insert into story_revisions (story_id, revision, title, content, content_hash, language, created_at)
select story_id, 1, title, content, content_hash, case when language_given then language end, updated_at from stories;

-- Who has the token of one reads the story, whatever its visibility.
create table story_links (
    link_id uuid primary key,
    story_id uuid not null references stories on delete cascade,
    token_hash text not null unique,
    expires_at timestamptz,
    opened int not null default 0,
    last_opened_at timestamptz,
    created_at timestamptz not null default now()
);
create index story_links_story on story_links (story_id, link_id desc);

create table follows (
    follower_id uuid not null,
    author_id uuid not null,
    created_at timestamptz not null default now(),
    primary key (follower_id, author_id)
);
create index follows_author on follows (author_id);

-- What a feed reads: the public stories of an author, by the time they were published.
create index stories_public on stories (author_id, published_at desc, story_id desc)
    where published_at is not null and visibility = 'public' and deleted_at is null;

-- --- search ---

-- The configuration that knows a language's endings; 'simple' knows none.
create function story_config(language text) returns regconfig language sql immutable parallel safe as $$
    select (case split_part(lower(coalesce(language, '')), '-', 1)
        when 'ar' then 'arabic' when 'ca' then 'catalan' when 'da' then 'danish' when 'de' then 'german'
        when 'el' then 'greek' when 'en' then 'english' when 'es' then 'spanish' when 'eu' then 'basque'
        when 'fi' then 'finnish' when 'fr' then 'french' when 'ga' then 'irish'
        when 'hi' then 'hindi' when 'hu' then 'hungarian' when 'hy' then 'armenian' when 'id' then 'indonesian'
        when 'it' then 'italian' when 'lt' then 'lithuanian' when 'nb' then 'norwegian' when 'ne' then 'nepali'
        when 'nl' then 'dutch' when 'nn' then 'norwegian' when 'no' then 'norwegian' when 'pt' then 'portuguese'
        when 'ro' then 'romanian' when 'ru' then 'russian' when 'sr' then 'serbian' when 'sv' then 'swedish'
        when 'ta' then 'tamil' when 'tr' then 'turkish' when 'yi' then 'yiddish' else 'simple' end)::regconfig
$$;

-- Scripts that put no spaces between words: each character is a word.
create function story_words(text_ text) returns text language sql immutable parallel safe as $$
    select regexp_replace(text_, '([\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])', ' \1 ', 'g')
$$;

-- Of a long text its first 64 Ki characters, so that no vector passes PostgreSQL's limit of 1 MB.
create function story_vector(language text, title text, content text) returns tsvector
language sql immutable parallel safe as $$
    select setweight(to_tsvector(story_config(language), story_words(title)), 'A')
        || setweight(to_tsvector(story_config(language), story_words(left(content, 65536))), 'B')
$$;

create table story_search (
    story_id uuid primary key references stories on delete cascade,
    config regconfig not null,
    words tsvector not null
);
create index story_search_words on story_search using gin (words);
insert into story_search
select story_id, story_config(language), story_vector(language, title, content) from stories;
