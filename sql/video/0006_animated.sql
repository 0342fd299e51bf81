-- Passages that begin with the drawn picture of their scene.
alter table video_jobs drop constraint video_jobs_pictures_check,
    add check (pictures in ('drawn', 'filmed', 'animated'));

-- Key of the picture that a provider is shown; its name is the hash of its bytes. null: it is shown none.
alter table clips add column picture text;
