-- 2,000 customers, 400 products, 40,000 orders with more than 100,000 lines, and their reviews.
-- Digests of the row's number replace random(): the same rows come out on every PostgreSQL version.

create or replace function pg_temp.pick(what text, number bigint, choices integer) returns integer
language sql immutable as $$
    select (('x' || substr(md5(what || number), 1, 8))::bit(32)::bigint % choices)::integer
$$;

insert into public.customers (id, user_id, name, email, country, created_at)
values (1, '7a1c0c5e-3d4b-4b6e-9f0a-ada000000001', 'Ada Lovelace', 'ada@example.com', 'GB', '2025-01-01 09:00+00');

insert into public.customers (id, name, email, country, created_at)
select
    n,
    (array['Alan','Barbara','Claude','Dorothy','Edsger','Frances','Grete','Hedy','Ida','John'])[1 + pg_temp.pick('first', n, 10)]
        || ' ' ||
    (array['Allen','Backus','Conway','Dahl','Eckert','Floyd','Goldberg','Hamilton','Iverson','Johnson','Kay','Liskov'])[1 + pg_temp.pick('last', n, 12)],
    'customer' || n || '@example.com',
    (array['AT','BR','CH','DE','ES','FR','GB','IT','JP','NL','PL','SE','US'])[1 + pg_temp.pick('country', n, 13)],
    timestamptz '2025-01-01 00:00+00' + pg_temp.pick('joined', n, 31536000) * interval '1 second'
from generate_series(2, 2000) as n;

insert into public.products (id, sku, name, description, category, price, stock, is_active, created_at)
select
    n,
    'SF-' || lpad(n::text, 5, '0'),
    made.style || ' ' || made.thing,
    'The ' || lower(made.style) || ' ' || lower(made.thing) || ' of our own workshop.',
    (array['kitchen','office','garden','travel'])[1 + pg_temp.pick('thing', n, 20) / 5],
    round((4 + pg_temp.pick('price', n, 19600) / 100.0)::numeric, 2),
    20 + pg_temp.pick('stock', n, 480),
    n % 25 <> 0,
    timestamptz '2024-06-01 00:00+00' + n * interval '1 hour'
from generate_series(1, 400) as n
cross join lateral (
    select
        (array['Plain','Blue','Oak','Steel','Folding','Small','Heavy','Quiet','Bright','Old'])[1 + pg_temp.pick('style', n, 10)] as style,
        (array['Kettle','Bowl','Knife','Board','Jar','Lamp','Desk','Chair','Pen','Shelf',
               'Spade','Bench','Pot','Hose','Glove','Bag','Flask','Compass','Towel','Tent'])[1 + pg_temp.pick('thing', n, 20)] as thing
) as made;

insert into public.orders (id, customer_id, status, placed_at)
select
    n,
    1 + pg_temp.pick('buyer', n, 2000),
    case
        when n > 39800 then (array['pending','paid','shipped'])[1 + pg_temp.pick('state', n, 3)]
        when pg_temp.pick('state', n, 20) = 0 then 'cancelled'
        else 'delivered'
    end,
    timestamptz '2026-01-01 00:00+00' + n * interval '6 minutes'
from generate_series(1, 40000) as n;

-- Lines of one order step through the catalogue, so that no product comes twice in it.
insert into public.order_items (order_id, product_id, quantity, unit_price)
select
    o.id,
    p.id,
    1 + pg_temp.pick('quantity', o.id * 10 + line, 4),
    p.price
from public.orders o
cross join lateral generate_series(1, 1 + pg_temp.pick('lines', o.id, 5)) as line
join public.products p on p.id = 1 + (pg_temp.pick('first line', o.id, 400) + line * 71) % 400;

insert into public.reviews (product_id, customer_id, rating, body, created_at)
select distinct on (i.product_id, o.customer_id)
    i.product_id,
    o.customer_id,
    5 - pg_temp.pick('rating', o.id, 9) / 2,
    (array['Does what it should.','Better than I thought.','Arrived late, works well.','I bought a second one.','Too heavy for me.'])
        [1 + pg_temp.pick('words', o.id, 5)],
    o.placed_at + interval '10 days'
from public.orders o
join public.order_items i on i.order_id = o.id
where o.status = 'delivered' and pg_temp.pick('reviews', o.id, 8) = 0
order by i.product_id, o.customer_id, o.id;

-- The rows above brought their own ids; the next ones start after them.
select setval(pg_get_serial_sequence('public.customers', 'id'), (select max(id) from public.customers));
select setval(pg_get_serial_sequence('public.products', 'id'), (select max(id) from public.products));
select setval(pg_get_serial_sequence('public.orders', 'id'), (select max(id) from public.orders));

-- The planner knows nothing about fresh tables until somebody counts.
analyze public.customers, public.products, public.orders, public.order_items, public.reviews;
