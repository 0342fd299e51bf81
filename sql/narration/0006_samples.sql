-- Samples of people's voices, brought in pieces (narration_sample.c). What has come of one is here until it is whole and
-- has been looked at; what is kept of it then is an object.
create table voice_samples (
    sample_id uuid primary key,
    user_id uuid not null,
    length bigint not null,
    received bigint not null default 0,
    metadata text,      -- as the client said it
    status text not null default 'uploading' check (status in ('uploading', 'checking', 'ready', 'refused')),
    reason text,        -- of one that was refused
    duration_ms bigint, -- of one that is ready
    created_at timestamptz not null default now(),
    expires_at timestamptz -- until it is whole
);
create index voice_samples_user on voice_samples (user_id, sample_id);
create index voice_samples_expiry on voice_samples (expires_at) where status = 'uploading';

create table voice_sample_pieces (
    sample_id uuid not null references voice_samples on delete cascade,
    at bigint not null,
    bytes bytea not null,
    primary key (sample_id, at)
);
-- They are compressed already.
alter table voice_sample_pieces alter column bytes set storage external;
