-- API keys: only the SHA-256 of a key is kept. scopes null: all that the owner may do.

create table api_keys (
    key_id uuid primary key,
    user_id uuid not null references users,
    name text not null,
    prefix text not null,
    key_hash text not null unique,
    scopes text[],
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz
);
create index api_keys_user on api_keys (user_id) where revoked_at is null;
