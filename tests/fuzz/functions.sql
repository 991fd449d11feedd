create function add(a int, b int default 1) returns int language sql immutable as 'select a + b';
create function echo(value text) returns text language sql stable as 'select value';
create function shop() returns setof customers language sql stable as 'select * from customers';
create function anything(json) returns json language sql stable as 'select $1';
create function nothing() returns void language sql as '';
grant all on all tables in schema public to anon, authenticated, service_role;
