-- Of the objects in `keys` those that are still needed: of a story's analysis, and of one before while the job waits that
-- will remove it. Others are of analyses that came to nothing.
create function story_objects(keys jsonb) returns setof text language sql stable as $$
    select key
    from (select k as key, case when k ~ '^story/[0-9a-f-]{36}/[0-9a-f-]{36}\.json$' then substr(k, 44, 36) end as id
          from jsonb_array_elements_text(keys) k) o
    where exists (select from story_analyses where analysis_id = o.id::uuid)
        or exists (select from jobs where name = 'remove_files' and unique_key = o.id and ended is null)
$$;
