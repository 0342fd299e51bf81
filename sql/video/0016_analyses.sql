-- A film has the words that its narration was made of, also when the story has been edited since.
create table analyses (
    analysis_id uuid primary key,
    story_id uuid not null references stories on delete cascade,
    language text,
    segments jsonb,   -- when the event brought them
    text_ref text,    -- else where they are kept
    told_at timestamptz not null default now()
);
create index analyses_story on analyses (story_id);
insert into analyses (analysis_id, story_id, language, segments, text_ref)
select analysis_id, story_id, language, segments, text_ref from stories where analysis_id is not null;

-- null: of which one is not known; then it is the story's newest.
alter table video_jobs add column analysis_id uuid;
update video_jobs v set analysis_id = s.analysis_id from stories s where s.story_id = v.story_id;
alter table stories drop column language, drop column segments, drop column text_ref;
