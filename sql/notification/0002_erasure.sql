-- A guest has no account: their address goes with that of whom has invited them.
alter table notification_deliveries add column inviter_id uuid;
create index notification_deliveries_inviter on notification_deliveries (inviter_id);

-- erased_users has taken its place; the table goes in a later release.
insert into erased_users (user_id) select user_id from deleted_users on conflict do nothing;
