-- It is in the film; one that comes when that is ready is not.
alter table clips add column shown boolean not null default false;
update clips set shown = true where state = 'done';
