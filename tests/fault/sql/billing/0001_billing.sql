-- What came of the orders. Only the charge has a key of its own: it is fixed here before its first try.

create table bookings (
    position bigint generated always as identity primary key,
    order_id uuid not null,
    basket text not null,
    n int not null
);

create table charges (
    order_id uuid primary key,
    charge_key uuid not null,
    basket text not null,
    n int not null,
    tried boolean not null default false
);

create table charged (
    order_id uuid not null,
    process int not null,
    answer text not null
);
