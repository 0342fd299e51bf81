-- Whoever takes part may lend a voice. (A platform that starts afresh has it from roles.yaml.)
insert into permissions select 'voice:lend' where exists (select from roles where role = 'guest') on conflict do nothing;
insert into role_permissions select 'guest', 'voice:lend' where exists (select from roles where role = 'guest')
on conflict do nothing;
