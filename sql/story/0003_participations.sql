-- Which collaborations make somebody a collaborator of a story: they are one until the last of these ends for them. (For
-- those of before it is not known; they leave with the first.)
create table story_participations (
    collaboration_id uuid not null,
    user_id uuid not null,
    story_id uuid not null references stories on delete cascade,
    primary key (collaboration_id, user_id)
);
create index story_participations_by_story on story_participations (story_id, user_id);
