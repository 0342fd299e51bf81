-- erased_users has taken its place, with all that it held (0002).
drop table deleted_users;
