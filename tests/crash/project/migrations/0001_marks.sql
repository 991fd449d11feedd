-- What was acknowledged to the writer, and what the worker did about it.
create table entries (number bigint primary key);
create table marks (number bigint primary key);
