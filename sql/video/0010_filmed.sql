-- How much of a passage is filmed; the rest is the drawn picture. null: all of it.
alter table clips add column filmed_ms bigint;
