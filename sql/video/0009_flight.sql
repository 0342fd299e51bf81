-- What providers have filmed, or are at, is found by what was asked for: it is asked for once.
drop index clips_cache;
create index clips_cache on clips (cache_key) where state in ('done', 'sending', 'unknown', 'sent');
