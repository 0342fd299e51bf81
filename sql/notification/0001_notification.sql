-- Whom to reach, what was sent, what is in the inbox.

create table contacts (
    user_id uuid primary key,
    email text not null,
    display_name text not null,
    locale text not null
);

-- People that are gone: a message for somebody who is not known is late when they are here, and early when they are not.
create table deleted_users (
    user_id uuid primary key
);

-- One row per (event, recipient, channel): the claim before sending, and the record afterwards.
create table notification_deliveries (
    notification_id uuid primary key,
    event_id uuid not null,
    campaign text not null,
    channel text not null check (channel in ('email', 'inbox')),
    user_id uuid,
    recipient text not null,
    state text not null default 'requested' check (state in ('requested', 'sent', 'failed')),
    reason text,
    created_at timestamptz not null default now(),
    finished_at timestamptz,
    unique (event_id, recipient, channel)
);
create index notification_deliveries_user on notification_deliveries (user_id);

create table inbox_messages (
    notification_id uuid primary key references notification_deliveries on delete cascade,
    user_id uuid not null,
    campaign text not null,
    text text not null,
    link text,
    created_at timestamptz not null default now(),
    read_at timestamptz
);
create index inbox_messages_user on inbox_messages (user_id, notification_id desc);
