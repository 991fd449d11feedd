-- Who may do what. A table without row security stays closed, so each line here opens something.
--
-- `(select auth.uid())` in brackets is evaluated once a statement; without the
-- brackets PostgreSQL calls it for every row.

alter table public.customers enable row level security;
alter table public.products enable row level security;
alter table public.orders enable row level security;
alter table public.order_items enable row level security;
alter table public.reviews enable row level security;

create policy "customers read themselves" on public.customers
    for select to authenticated
    using (user_id = (select auth.uid()));
create policy "staff manages customers" on public.customers
    to authenticated
    using ((select auth.jwt()) -> 'app_metadata' ->> 'role' = 'staff');

create policy "everybody reads active products" on public.products
    for select to anon, authenticated
    using (is_active);
create policy "staff manages products" on public.products
    to authenticated
    using ((select auth.jwt()) -> 'app_metadata' ->> 'role' = 'staff');

-- The inner select sees only the caller's own row of customers: policies apply inside policies.
create policy "customers read their orders" on public.orders
    for select to authenticated
    using (customer_id = (
        select c.id from public.customers c where c.user_id = (select auth.uid())
    ));
create policy "staff manages orders" on public.orders
    to authenticated
    using ((select auth.jwt()) -> 'app_metadata' ->> 'role' = 'staff');

-- An array makes it one look-up of the caller's orders, and not a probe for each line.
create policy "customers read the lines of their orders" on public.order_items
    for select to authenticated
    using (order_id = any (array(
        select o.id
        from public.orders o
        join public.customers c on c.id = o.customer_id
        where c.user_id = (select auth.uid())
    )));
create policy "staff manages order lines" on public.order_items
    to authenticated
    using ((select auth.jwt()) -> 'app_metadata' ->> 'role' = 'staff');

create policy "everybody reads reviews" on public.reviews
    for select to anon, authenticated
    using (true);
create policy "customers write their reviews" on public.reviews
    for insert to authenticated
    with check (customer_id = (
        select c.id from public.customers c where c.user_id = (select auth.uid())
    ));
create policy "customers change their reviews" on public.reviews
    for update to authenticated
    using (customer_id = (
        select c.id from public.customers c where c.user_id = (select auth.uid())
    ));
create policy "customers delete their reviews" on public.reviews
    for delete to authenticated
    using (customer_id = (
        select c.id from public.customers c where c.user_id = (select auth.uid())
    ));
