-- What clients ordered, and what came back. Nothing is unique that a fault could double: doubles must be seen.

create table baskets (
    basket text primary key,
    n int not null default 0,
    units int not null default 100
);

create table orders (
    order_id uuid not null,
    client_key text not null,
    basket text not null,
    n int not null
);

create table transfers (
    client_key text not null,
    giver text not null,
    taker text not null
);

create table confirmations (
    position bigint generated always as identity primary key,
    order_id uuid not null,
    what text not null,
    basket text not null,
    n int not null
);
