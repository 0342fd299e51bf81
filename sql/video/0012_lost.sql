-- Its film has given it up, but it was sent, or may have been: when that film is asked for again, it is looked for
-- again, and is not sent to anybody.
alter table clips add column lost boolean not null default false;
update clips set lost = true where state = 'failed' and reason = 'What became of the request is not known.';
drop index clips_cache;
create index clips_cache on clips (cache_key) where state in ('done', 'sending', 'unknown', 'sent') or lost;
