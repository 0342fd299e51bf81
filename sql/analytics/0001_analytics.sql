-- Every event, counted by day and type. The inbox keeps one from counting twice.

create table daily_counts (
    day date not null,
    event_type text not null,
    events bigint not null,
    newest timestamptz not null,
    primary key (day, event_type)
);
