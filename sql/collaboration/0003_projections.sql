-- The tables of collaboration become projections of its log (collaboration_project.c), but for its copies of stories and
-- people. What is there now is said by one event for each collaboration, CollaborationImported: events of before did not
-- say everything.

-- A story that was deleted keeps its title, for those who took part; so collaborations need no copy of it.
alter table stories add column gone boolean not null default false;
insert into stories (story_id, author_id, title, gone)
select distinct on (story_id) story_id, host_id, story_title, true from collaborations c
where not exists (select from erased_users u where u.user_id = c.host_id)
order by story_id, created_at desc
on conflict do nothing;
alter table collaborations drop column story_title, alter column mode drop default, alter column status drop default,
    alter column created_at drop default;

alter table invitations drop constraint invitations_collaboration_id_fkey, alter column status drop default,
    alter column created_at drop default, drop constraint invitations_status_check;
alter table invitations add constraint invitations_status_check
    check (status in ('pending', 'sending', 'sent', 'accepted', 'declined', 'expired', 'cancelled'));
alter table participants drop constraint participants_collaboration_id_fkey, alter column joined_at drop default,
    add column submitted_at timestamptz;

-- Of hosts who are gone; and an address that the log does not have any more is of an invitation that has long expired.
update invitations i set email = '', token_hash = null
where host_id in (select user_id from erased_users);
update invitations i set email = ''
where not exists (select from events e where e.event_type = 'CollaborationInvited'
                  and e.payload->>'invitationId' = i.invitation_id::text);

-- UUIDv7, for the events that are written here.
create function pg_temp.new_id() returns uuid language sql volatile as $$
    select encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) placing
        substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 52, 1),
        53, 1), 'hex')::uuid
$$;
create function pg_temp.rfc3339(at timestamptz) returns text language sql stable as $$
    select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

insert into aggregates as a (aggregate_type, aggregate_id, version)
select 'collaboration', collaboration_id::text, 1 from collaborations
on conflict (aggregate_type, aggregate_id) do update set version = a.version + 1;
insert into events (event_id, event_type, aggregate_type, aggregate_id, aggregate_version, version, metadata, payload)
select pg_temp.new_id(), 'CollaborationImported', 'collaboration', c.collaboration_id::text, a.version, '1.0.0',
    '{"correlationId": "migration"}', jsonb_build_object('collaborationId', c.collaboration_id, 'storyId', c.story_id,
        'hostId', c.host_id, 'mode', c.mode, 'status', c.status, 'createdAt', pg_temp.rfc3339(c.created_at),
        'participants', coalesce((select jsonb_agg(jsonb_build_object('userId', p.user_id, 'role', p.role,
            'joinedAt', pg_temp.rfc3339(p.joined_at)) order by p.joined_at, p.user_id)
            from participants p where p.collaboration_id = c.collaboration_id), '[]'),
        'invitations', coalesce((select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('invitationId', i.invitation_id,
            'role', i.role, 'status', i.status, 'expiresAt', pg_temp.rfc3339(i.expires_at),
            'createdAt', pg_temp.rfc3339(i.created_at), 'tokenHash', i.token_hash, 'reason', i.reason,
            'sagaId', i.saga_id)) order by i.invitation_id)
            from invitations i where i.collaboration_id = c.collaboration_id), '[]'))
from collaborations c
join aggregates a on a.aggregate_type = 'collaboration' and a.aggregate_id = c.collaboration_id::text;

-- Those that are open end in time.
insert into jobs (name, unique_key, payload, metadata, run_at, delayed)
select 'expire_invitation', invitation_id, jsonb_build_object('invitationId', invitation_id,
    'collaborationId', collaboration_id), '{"correlationId": "migration"}', expires_at, true
from invitations where status in ('pending', 'sending', 'sent');
