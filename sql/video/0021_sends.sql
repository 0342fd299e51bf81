-- How often it was sent to anybody: what an earlier request has come to is told at another address, and found by that.
-- (0: what was sent before that was counted.)
alter table clips add column sends int not null default 0;
