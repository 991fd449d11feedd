-- An order is packed by a job that the database asks for.
create table orders (number bigint primary key, job_id uuid);
grant select, insert on orders to service_role;

create function place_order(number bigint) returns uuid language sql as $$
    insert into orders (number, job_id)
    values (place_order.number, monohull.enqueue('shopping.pack', jsonb_build_object('number', place_order.number)))
    returning job_id
$$;

create function refuse() returns void language plpgsql as $$
begin
    raise exception 'out of stock' using errcode = 'P0002';
end
$$;
