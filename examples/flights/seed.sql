-- Runs after the rows have been copied. Three references do not hold in the data as it was published:
-- 7,602 flights go to four airports that airports does not have, 50,094 carry a tail number that
-- planes does not have, and 1,556 left in an hour without weather. No row is changed or dropped for
-- that. NOT VALID declares the reference for new rows and leaves those of 2013 as they are; the API
-- follows it like any other, and answers null where the other side is missing.

alter table public.flights
    add constraint flights_dest_fkey foreign key (dest) references public.airports (faa) not valid;
alter table public.flights
    add constraint flights_tailnum_fkey foreign key (tailnum) references public.planes (tailnum) not valid;
alter table public.flights
    add constraint flights_origin_time_hour_fkey
    foreign key (origin, time_hour) references public.weather (origin, time_hour) not valid;

analyze public.airlines, public.airports, public.planes, public.weather, public.flights;
