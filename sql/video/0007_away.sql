-- Providers that were away when a clip was to be sent: they are asked again in a while, so often at most (waits).
alter table clips add column away text[] not null default '{}', add column waits int not null default 0;
