-- Who took part in a collaboration that was brought to its end.
create table story_contributors (
    story_id uuid not null references stories on delete cascade,
    user_id uuid not null,
    primary key (story_id, user_id)
);

-- The list view has it, since 0004.
alter table stories drop column collaborator_count;
