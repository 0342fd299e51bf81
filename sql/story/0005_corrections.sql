-- What users know better than the analysis, and what an analysis has changed.

alter table stories add column corrections int not null default 0; -- how often something of them was changed

-- The speaker or the emotion of a segment. Ids are hashes of the text, so a correction holds wherever the text goes, and
-- comes back with it. speaker null with speaker_given: nobody, or unknown.
create table story_segment_corrections (
    story_id uuid not null references stories on delete cascade,
    segment_id text not null,
    speaker_given boolean not null,
    speaker text,
    emotion text,
    intensity double precision,
    corrected_at timestamptz not null default now(),
    primary key (story_id, segment_id)
);

-- Characters as they were merged, split and named: those of one row are one being, those of two never.
create table story_cast (
    story_id uuid not null references stories on delete cascade,
    name text not null,
    aliases jsonb not null,
    gender text,
    age text,
    primary key (story_id, name)
);

-- Of a story only its latest analysis is kept. changes: {since, added, changed, removed} by segment id, against the one
-- before; null where there was none.
delete from story_analyses a using story_analyses newer
where newer.story_id = a.story_id and (newer.created_at, newer.analysis_id) > (a.created_at, a.analysis_id);
alter table story_analyses
    add column analyser text not null default 'embedded',
    add column fallback text, -- why another analyser than the tier's has done it
    add column changes text,
    drop constraint story_analyses_story_id_content_hash_analyser_version_key;
create unique index story_analyses_story on story_analyses (story_id);
