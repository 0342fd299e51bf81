-- Requests for erasure: an account was deleted, and every service says what it has done about it. Closed when all have;
-- the answers are the certificate, and hold nothing personal any more.

create table erasures (
    user_id uuid primary key,
    requested_at timestamptz not null default now(),
    deadline_at timestamptz not null,
    alarmed_at timestamptz, -- the last time that it was told to be overdue
    closed_at timestamptz
);
create index erasures_open on erasures (deadline_at) where closed_at is null;

create table erasure_answers (
    user_id uuid not null references erasures,
    service text not null,
    tables jsonb not null,
    answered_at timestamptz not null default now(),
    primary key (user_id, service)
);
