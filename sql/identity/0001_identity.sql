-- Accounts, sessions and the tokens that were mailed.

create table users (
    user_id uuid primary key,
    email text not null,
    display_name text not null,
    locale text not null,
    password_hash text not null,
    state text not null default 'active' check (state in ('active', 'disabled', 'deleted')),
    verified_at timestamptz,
    roles text[] not null default '{author}',
    tier text not null default 'free',
    version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create unique index users_email on users (lower(email)) where state <> 'deleted';

-- refresh_key signs the refresh tokens of the session; counter is that of the current one.
create table sessions (
    session_id uuid primary key,
    user_id uuid not null references users,
    refresh_key text not null,
    counter bigint not null default 0,
    rotated_at timestamptz not null default now(),
    address text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    ended_at timestamptz,
    end_reason text
);
create index sessions_user on sessions (user_id) where ended_at is null;
create index sessions_expiry on sessions (expires_at);

-- Only the SHA-256 of a mailed token is kept.
create table email_tokens (
    token_hash text primary key,
    user_id uuid not null references users,
    purpose text not null,
    expires_at timestamptz not null
);
create index email_tokens_user on email_tokens (user_id);
create index email_tokens_expiry on email_tokens (expires_at);
