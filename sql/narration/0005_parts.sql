-- What can be heard while the rest of a long story is still made: [{part, startMs, endMs}].
alter table narrations add column parts jsonb not null default '[]';
