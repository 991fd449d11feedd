create table staff (id int primary key, login text not null, pin text not null default 'TOP-pin');
create table patients (
    id int primary key, name text not null, ward text, doctor_id int references staff,
    insurance_no text unique default 'TOP-none', mentor_id int references staff, diary jsonb default '{"k": "TOP-diary"}'
);
create table visits (
    patient_id int references patients, staff_id int references staff, mood text default 'TOP-mood',
    primary key (patient_id, staff_id)
);
create table cards (serial text primary key, owner_id int references patients, colour text);
create schema office;
create function label(patients) returns text language sql stable as $$ select $1.name || ' in ' || $1.ward $$;
create function number_of(patients) returns text language sql stable as $$ select $1.insurance_no $$;
create function neighbours(patients) returns setof patients language sql stable
    as $$ select * from patients where ward = $1.ward $$;
create function find_patients(word text) returns setof patients language sql stable
    as $$ select * from patients where name ilike '%' || word || '%' $$;
create function one_patient(wanted int) returns patients language sql stable
    as $$ select * from patients where id = wanted $$;
create function office.patients(word text) returns setof public.patients language sql stable
    as $$ select * from public.patients $$;
create function complain() returns trigger language plpgsql as $$ begin
    raise exception 'insurance_no % is bad', new.insurance_no using detail = 'TOP-detail', hint = 'see mentor_id';
end $$;
create trigger complain before update on patients for each row when (new.ward = 'closed') execute function complain();

insert into staff values (1, 'ann', 'TOP-1'), (2, 'bob', 'TOP-2');
insert into patients values
    (1, 'Ida', 'north', 1, 'TOP-a', 2), (2, 'Kurt', 'north', 2, 'TOP-b', 1), (3, 'Rosa', 'south', null, 'TOP-c', null);
insert into visits values (1, 1, 'TOP-sad'), (1, 2, 'TOP-glad'), (2, 1, 'TOP-mad');
insert into cards values ('TOP-s1', 1, 'red'), ('TOP-s2', 2, 'blue');

alter table staff enable row level security;
alter table patients enable row level security;
alter table visits enable row level security;
alter table cards enable row level security;
create policy everybody on staff using (true) with check (true);
create policy everybody on patients using (true) with check (true);
create policy everybody on visits using (true) with check (true);
create policy everybody on cards using (true) with check (true);
grant usage on schema office to authenticated;
