-- What a provider fails in is no attempt any more, so there are fewer of them (narration.c). Of the narrations that wait
-- some have used up more under the rule of before, and would be buried unrun.
update jobs set attempts = 0 where name in ('speak', 'speak_long') and ended is null;
