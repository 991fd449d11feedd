"""A schema of any size whose names are as awkward as PostgreSQL allows, twice the same in two schemas."""

from __future__ import annotations

from typing import Final

NAMES: Final = (
    "select", "class", "None", "table", "import", "export", "default", "type", "def", "constructor",
    "__proto__", "__init__", "Json", "Any", "Database", "list", "str", "async", "yield", "interface",
    'he said "hi"', "it's", "back\\slash", "${x}", "back`tick", "two  spaces", " lead", "trail ",
    "größe", "表", "ﬁrst", "first", "🚀 launch", "ПРИВЕТ", "é", "2fa", "42", "007_bond",
    "with-dash", "a.b", "percent%41", "slash/es", "dollar$", "$ref", "question?", "hash#", "semi;colon",
    "*/ end", "// line", "{braces}", "comma,", "(paren)", "[bracket]", "new\nline", "tab\tbed", "<tag>",
    "a&b", "a=b", "a:b", "a::b", "a->b", "!important", "@at", "CamelCase", "camelCase", "camel_case",
    "x" * 63, "_", "__", "-", "'''", '"""', "%s", "ϓ", "\u017f", "\u212a",
)  # fmt: skip

TYPES: Final = """
create type {s}.mood as enum ('ok', 'it''s "fine"', 'ünïcode', '', 'back\\slash', '2');
create type {s}."class of" as enum ('None', 'True');
create domain {s}.positive as integer check (value > 0);
create domain {s}."e mail" as text not null check (value ~ '^[^@]+@[^@]+$');
create type {s}.pair as (a integer, "b c" {s}.mood, moods {s}.mood[], made timestamptz);
create type {s}."nested pair" as (one {s}.pair, many {s}.pair[]);
create type {s}.floatrange as range (subtype = float8);
"""

COLUMNS: Final = (
    "integer not null", "bigint", "smallint not null default 3", "numeric(10,2) check ({c} >= 0)", "real",
    "double precision", "text not null default 'x'", "varchar(40) not null", "char(2)", "boolean not null",
    "date", "time", "timetz", "timestamp not null", "timestamptz default now()", "interval", "uuid",
    "bytea", "json", "jsonb not null", "inet", "cidr", "macaddr", "money", "bit(3)", "varbit(8)", "xml",
    "tsvector", "point", "int4range", "tstzrange", "nummultirange", "text[]", "integer[] not null",
    "{s}.mood", "{s}.mood[]", '{s}."class of" not null', "{s}.positive", '{s}."e mail"', "{s}.pair",
    "{s}.pair[]", '{s}."nested pair"', "{s}.floatrange", "other.mood",
    "integer generated always as (1) stored", "text check ({c} in ('a', 'b'))",
    "integer check ({c} between 1 and 5)", "oid", "regclass", '"char"', "name",
)  # fmt: skip


def statements(tables: int = 300, columns: int = 8) -> str:
    """Return what makes ``tables`` tables in ``public`` and a tenth of them, named alike, in ``other``."""
    parts = ["create schema if not exists other;", TYPES.format(s="other"), TYPES.format(s="public")]
    for schema, count in (("other", tables // 10), ("public", tables)):
        parts += [_table(schema, number, columns) for number in range(count)]
        parts.append(_around(schema))
        parts.append(f"grant usage on schema {schema} to anon, authenticated, service_role;")
        parts.append(f"grant all on all tables in schema {schema} to anon, authenticated, service_role;")
    return "\n".join(parts)


def name_of(number: int) -> str:
    """Return the name of a table: each awkward one as it is, and then with a number."""
    name = NAMES[number % len(NAMES)]
    turn = number // len(NAMES)
    return name if turn == 0 else f"{name[:50]}{turn}"


def _table(schema: str, number: int, columns: int) -> str:
    identity = "always" if number % 2 else "by default"
    lines = [f"id bigint generated {identity} as identity primary key"]
    for place in range(columns):
        name = NAMES[(number * 7 + place * 11) % len(NAMES)]
        kind = COLUMNS[(number * columns + place) % len(COLUMNS)].format(s=schema, c=quoted(name))
        lines.append(f"{quoted(name)} {kind}")
    if number:
        target = f"{schema}.{quoted(name_of(number - 1))}"
        unique = " unique" if number % 3 == 0 else ""
        lines.append(f'"the parent" bigint{unique} references {target}')
    lines = list(
        {line.split(" ")[0] if line[0] != '"' else line.rsplit('"', 1)[0]: line for line in lines}.values()
    )
    table = f"{schema}.{quoted(name_of(number))}"
    note = "E'First line.\\n*/ second \"line\" '' \\\\ ${x} `tick`\\n@example 7'"
    return (
        f"create table {table} (\n  {', '.join(lines)}\n);\n"
        f"comment on table {table} is {note};\ncomment on column {table}.id is {note};"
    )


def _around(schema: str) -> str:
    first, second = f"{schema}.{quoted(name_of(0))}", f"{schema}.{quoted(name_of(1))}"
    return f"""
create view {schema}."the view" with (security_invoker = on) as select * from {second};
create materialized view {schema}."stored 1" as select id, 1 + 1 as "two?" from {first};
create function {schema}."odd function"("first arg" integer, "class" {schema}.mood default 'ok')
  returns setof {second} language sql stable as $$ select * from {second} $$;
create function {schema}.over(a integer) returns integer language sql immutable as $$ select a $$;
create function {schema}.over(a integer, b text) returns text language sql immutable as $$ select b $$;
create function {schema}.nothing() returns void language sql as $$ $$;
create function {schema}.outs(inout x integer, out "y z" text) language sql as $$ select 1, 'y' $$;
create function {schema}.tabled() returns table ("class" integer, m {schema}.mood[]) language sql stable
  as $$ select 1, array['ok'::{schema}.mood] $$;
create function {schema}.whole(json) returns json language sql immutable as $$ select $1 $$;
create function {schema}.many(variadic numbers integer[]) returns integer[] language sql immutable
  as $$ select numbers $$;
create function {schema}.computed({first}) returns text language sql stable as $$ select 'c'::text $$;
create function {schema}.paired(p {schema}.pair) returns {schema}."nested pair" language sql immutable
  as $$ select row(p, array[p])::{schema}."nested pair" $$;
create function {schema}.recorded() returns record language sql immutable as $$ select 1, 2 $$;
"""


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
