-- Roles, what they may do, who has them, and the audit log.

create table roles (
    role text primary key,
    description text not null,
    inherits text[] not null default '{}'
);

create table permissions (
    permission text primary key check (permission ~ '^([a-z][a-z_-]*|\*):([a-z][a-z_-]*|\*)$')
);

create table role_permissions (
    role text not null references roles,
    permission text not null references permissions,
    primary key (role, permission)
);

-- changed_at: tokens issued before it may still carry the old roles, so the edge is told until they have expired.
create table user_roles (
    user_id uuid not null,
    role text not null references roles,
    granted_by uuid,
    granted_at timestamptz not null default now(),
    primary key (user_id, role)
);
create index user_roles_role on user_roles (role);

create table role_overrides (
    user_id uuid primary key,
    until timestamptz not null
);

create table audit_logs (
    audit_id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    actor text not null,
    action text not null,
    subject text not null,
    detail jsonb not null
);

-- What the roles may do in all, inherited permissions included. union (not all) ends a cycle.
create function permissions_of(names text[]) returns setof text language sql stable as $$
    with recursive reached (role) as (
        select unnest(names)
        union
        select unnest(r.inherits) from roles r join reached using (role)
    )
    select distinct permission from role_permissions join reached using (role)
$$;

-- Does one who holds `held` hold `wanted`? Segments may be asterisks.
create function permission_covers(held text, wanted text) returns boolean language sql immutable as $$
    select split_part(held, ':', 1) in ('*', split_part(wanted, ':', 1))
       and split_part(held, ':', 2) in ('*', split_part(wanted, ':', 2))
$$;
