create domain "text/plain" as text;
create domain "image/x-dots" as bytea;
create domain "application/x-names" as text;

create function add(a int, b int default 10) returns int language sql immutable as 'select a + b';
create function many(variadic v text[]) returns text[] language sql immutable as 'select v';
create function numbers() returns setof int language sql stable as 'values (1), (2), (3)';
create function nothing() returns void language sql as 'select';
create function pair(out x int, out y text) language sql immutable as $$ select 1, 'one' $$;
create function pairs() returns table (x int, y text) language sql stable as $$ values (1, 'one'), (2, 'two') $$;
create function no_customer() returns customers language sql stable as 'select * from customers where false';
create function all_customers() returns setof customers language sql stable security definer set search_path = public
    as 'select * from customers order by id';
create function all_notes() returns setof notes language sql stable security definer set search_path = public
    as 'select * from notes';
create function whole(json) returns json language sql immutable as 'select $1';
create function whole(text) returns "text/plain" language sql immutable as 'select $1::"text/plain"';
create function dots() returns "image/x-dots" language sql immutable as $$ select '\x00ff2e'::"image/x-dots" $$;
create function closed() returns int language sql immutable as 'select 1';
revoke execute on function closed() from public, anon, authenticated;
create table marks (id int primary key);
alter table marks enable row level security;
create function mark(id int) returns setof marks language sql volatile security definer set search_path = public
    as 'insert into marks values ($1), ($1 + 1) returning *';
create function calls() returns setof int language plpgsql volatile as $$ begin
    perform set_config('my.calls', (coalesce(nullif(current_setting('my.calls', true), ''), '0')::int + 1)::text, true);
    return query select current_setting('my.calls')::int;
end $$;
create function once() returns int language plpgsql stable as $$ begin
    assert coalesce(current_setting('my.calls', true), '') = '', 'called before';
    return set_config('my.calls', '1', true);
end $$;

create function upper_name(customers) returns text language sql stable as 'select upper($1.name)';
create function buyer(orders) returns setof customers rows 1 language sql stable
    as 'select * from customers where id = $1.customer_id';
create function purchases(customers) returns setof orders language sql stable
    as 'select * from orders where customer_id = $1.id';
create function secrets(customers) returns setof notes language sql stable
    as 'select * from notes where customer_id = $1.id';

create function names_step(state text, next customers) returns "application/x-names" language sql immutable
    as $$ select (state || next.name || ';')::"application/x-names" $$;
create aggregate names(customers) (initcond = '', stype = "application/x-names", sfunc = names_step);

create domain hexadecimal as int;
create function to_json(hexadecimal) returns json language sql immutable as $$ select to_json('#' || to_hex($1)) $$;
create function from_text(text) returns hexadecimal language sql immutable
    as $$ select ('x' || lpad($1, 8, '0'))::bit(32)::int::hexadecimal $$;
create cast (hexadecimal as json) with function to_json(hexadecimal) as implicit;
create cast (text as hexadecimal) with function from_text(text) as implicit;
create table paints (id int primary key, color hexadecimal);
comment on table paints is '@public';
insert into paints values (1, 255), (2, 4096);
