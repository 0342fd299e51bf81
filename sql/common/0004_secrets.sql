-- Users whose data this service has erased: what comes late or again of them must bring nothing back.
create table erased_users (
    user_id uuid primary key,
    erased_at timestamptz not null default now()
);
