-- users becomes a projection of identity's log (identity_project.c): what the events do not say moves out of it. What
-- is secret, passwords, sessions, keys, mailed tokens, is in no event and stays in tables of its own.

-- Of every account that is not deleted.
create table credentials (
    user_id uuid primary key,
    password_hash text not null
);
insert into credentials select user_id, password_hash from users where state <> 'deleted';

-- Identity's copy of what subscription says; free without a row.
create table user_tiers (
    user_id uuid primary key,
    tier text not null
);
insert into user_tiers select user_id, tier from users where state <> 'deleted' and tier <> 'free';

alter table users drop column password_hash, drop column tier;
alter table users alter column roles drop default, alter column state drop default, alter column version drop default,
    alter column created_at drop default, alter column updated_at drop default;
alter table sessions drop constraint sessions_user_id_fkey;
alter table email_tokens drop constraint email_tokens_user_id_fkey;
alter table api_keys drop constraint api_keys_user_id_fkey;

-- The rows as the projections make them of the events there are: times and version are those of the events.
update users u set version = e.version, created_at = e.first_at, updated_at = e.last_at, verified_at = e.verified_at
from (select aggregate_id::uuid as user_id, max(aggregate_version) as version, min(recorded_at) as first_at,
          (array_agg(recorded_at order by aggregate_version desc))[1] as last_at,
          (array_agg(recorded_at order by aggregate_version) filter (where event_type = 'EmailVerified'))[1]
              as verified_at
      from events
      where aggregate_type = 'user' and event_type in ('UserRegistered', 'EmailVerificationRequested', 'EmailVerified',
          'UserProfileUpdated', 'UserRoleChanged', 'UserDeleted')
      group by aggregate_id) e
where u.user_id = e.user_id;
