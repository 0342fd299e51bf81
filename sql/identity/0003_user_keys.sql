-- A key for each user, which seals the sensitive members of their events; wrapped by a master key (named by a part of
-- its SHA-256). The row goes with the account, and with it all that the key has sealed.

create table user_keys (
    key_id uuid primary key,
    user_id uuid not null unique,
    wrapped_by text not null,
    wrapped text not null,
    created_at timestamptz not null default now(),
    rewrapped_at timestamptz
);
create index user_keys_master on user_keys (wrapped_by, key_id);
