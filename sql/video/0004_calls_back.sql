-- What providers tell by calling back.

-- What was told already does nothing when it is told again. event: the provider's own name of it, where that is signed,
-- else how far the work was.
create table clip_calls (
    clip_id uuid not null references clips on delete cascade,
    event text not null,
    told_at timestamptz not null default now(),
    primary key (clip_id, event)
);

-- The keys that a provider signs with, as it publishes them (JWKS).
create table film_keys (
    provider text primary key,
    keys text not null,
    fetched_at timestamptz not null default now()
);
