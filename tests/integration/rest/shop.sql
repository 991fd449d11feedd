create table customers (id int primary key, owner uuid, name text not null, profile jsonb, tags text[]);
create table orders (
    id int primary key, customer_id int not null references customers, total numeric(8, 2), placed_at timestamptz
);
create table products (id int primary key, name text not null, body text, parent_id int references products);
create table order_items (
    order_id int references orders, product_id int references products, quantity int, primary key (order_id, product_id)
);
create table notes (id int primary key, customer_id int references customers, text text);
create table vacations (id int primary key, during daterange);
comment on table products is E'What we sell.\n@public';
comment on table vacations is '@public';

insert into customers values
    (1, '00000000-0000-0000-0000-000000000001', 'Ada', '{"city": "London", "langs": ["en", "fr"]}', '{new,vip}'),
    (2, '00000000-0000-0000-0000-000000000002', 'Grace, H.', '{"city": "New York"}', '{}'),
    (3, null, 'Linus', null, null);
insert into orders values (10, 1, 9.50, '2026-01-02T03:04:05Z'), (11, 1, 20, null), (12, 2, 5, null);
insert into products values (100, 'Rope', 'A long rope of hemp'), (101, 'Hook', 'Iron hooks'), (102, 'Crate', null);
update products set parent_id = 100 where id = 101;
insert into order_items values (10, 100, 2), (10, 101, 1), (11, 100, 7);
insert into notes values (1, 1, 'secret');
insert into vacations values (1, '[2026-01-01,2026-01-10)');

alter table customers enable row level security;
alter table orders enable row level security;
alter table order_items enable row level security;
create policy own on customers for select using (owner = auth.uid());
create policy own on orders for select using (customer_id in (select id from customers));
create policy own on order_items for select using (order_id in (select id from orders));

create view customer_names as select id, name from customers;
create view own_orders with (security_invoker = on) as select * from orders;
create view own_notes with (security_invoker = on) as select * from notes;
create materialized view totals as select customer_id, sum(total) as total from orders group by 1;
create schema private;
create table private.hidden (id int);
