-- Files that hold what the log held: every event from first_seq to last_seq, one a line, each event in one file. A row
-- is written before its file ('writing', the range is fixed from then on) and again when the file is safe ('done').
-- Nothing of the log is deleted before; then operational events go (7 days), and later audit events (30 days). A log that
-- is the source of truth keeps all.
--
-- Ids in the inbox are kept for good: a restored publisher, or a replay from archives, can send any event again.
create table archives (
    first_seq bigint primary key,
    last_seq bigint not null,
    events bigint not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    path text not null, -- key in the object store
    state text not null default 'writing' check (state in ('writing', 'done')),
    sha256 text,
    bytes bigint,
    written_at timestamptz,
    shrinks boolean not null default false, -- the log may have lost some of it
    operational_gone_at timestamptz,
    all_gone_at timestamptz
);
create index archives_to_do on archives (first_seq) where state = 'writing' or all_gone_at is null;

-- Which events may still have to be published (again): those that the snapshots of the relay's history do not all see.
-- What is below both has been sent, handled by every group, and forgotten by the bus.
create function relay_needs_from(out tx xid8, out seq bigint) language sql stable as $$
    select coalesce((select pg_snapshot_xmin(s1) as x from relay_batches order by x limit 1), '0'::xid8),
           coalesce((select min(after_seq) from relay_batches), 0)
$$;

-- What `storyctl events replay` has been told to do here, and how far it has come (the last seq of each publisher).
create table replays (
    replay_id uuid primary key,
    asked jsonb not null, -- from, until, types, publishers, again
    reason text,
    operator text not null,
    started_at timestamptz not null default now(),
    progress jsonb not null default '{}',
    queued bigint not null default 0,
    finished_at timestamptz
);
