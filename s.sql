insert into public.watched (customer, status, total, note) select n, 'new', n * 1.5, repeat('x', 100) from generate_series(1, 1) as n
