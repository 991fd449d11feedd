"""Tables with all that filling and trying them needs: columns, keys, checks, policies, grants.

The search path is empty while this is read, so that every name in an expression stands
there with its schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from monohull.kernel.database.server import quote_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import asyncpg

    Found = Mapping[int, list[Any]]

COMMANDS: Final = {"r": "select", "a": "insert", "w": "update", "d": "delete", "*": "all"}
PUBLIC: Final = "public"
"""The pseudo-role of policies and grants that name nobody."""


class Column(Struct, frozen=True, kw_only=True):
    """One column.

    Attributes:
        number: ``attnum``.
        type: As a cast names it.
        base: Name of the type, under all domains.
        category: ``pg_type.typcategory`` of `base`.
        labels: Of an enum, in order.
        size: Most characters, or digits before the point; None when there is no limit.
        is_domain: The type brings checks of its own.
        domain_checks: Their expressions.
        identity: ``a`` for GENERATED ALWAYS, ``d`` for BY DEFAULT, or empty.
    """

    number: int
    name: str
    type: str
    base: str
    category: str
    labels: tuple[str, ...] = ()
    size: int | None = None
    is_domain: bool = False
    domain_checks: tuple[str, ...] = ()
    is_nullable: bool = True
    has_default: bool = False
    default: str | None = None
    identity: str = ""
    is_generated: bool = False

    @property
    def is_needed(self) -> bool:
        """A row cannot be made without a value for it."""
        return not (self.is_nullable or self.has_default or self.identity or self.is_generated)


class Check(Struct, frozen=True):
    """A check constraint, and the columns it reads."""

    name: str
    columns: tuple[str, ...]
    expression: str


class ForeignKey(Struct, frozen=True):
    """One foreign key; `target` is the oid of the table it refers to."""

    name: str
    columns: tuple[str, ...]
    target: int
    target_columns: tuple[str, ...]
    is_deferrable: bool


class Policy(Struct, frozen=True):
    """One policy as PostgreSQL prints it.

    Attributes:
        command: ``select``, ``insert``, ``update``, ``delete`` or ``all``.
        roles: Names, sorted; ``public`` for everybody.
        columns: Of the policy's own table that its expressions read.
    """

    name: str
    command: str
    is_permissive: bool
    roles: tuple[str, ...]
    using: str | None
    check: str | None
    columns: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        """All of it on one line."""
        kind = "" if self.is_permissive else "restrictive "
        parts = [f"{kind}{self.command} to {', '.join(self.roles)}"]
        parts += [f"using {_one_line(self.using)}"] if self.using is not None else []
        parts += [f"with check {_one_line(self.check)}"] if self.check is not None else []
        return " ".join(parts)

    @property
    def expressions(self) -> tuple[str, ...]:
        return tuple(text for text in (self.using, self.check) if text is not None)


class Table(Struct, frozen=True, kw_only=True):
    """One table.

    Attributes:
        owner: Name of the role that owns it.
        row_security: ``off``, ``on`` or ``forced``, which holds the owner too.
        key: Columns of the primary key; empty when there is none.
        unique: Column sets of all unique indexes without a predicate.
    """

    oid: int
    schema: str
    name: str
    owner: str
    row_security: str
    columns: Mapping[str, Column]
    key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    checks: tuple[Check, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    policies: tuple[Policy, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> str:
        return f"{quote_name(self.schema)}.{quote_name(self.name)}"


def _one_line(expression: str | None) -> str:
    return " ".join((expression or "").split())


_TABLES: Final = """
select c.oid::int8 as oid, n.nspname::text as schema, c.relname::text as name,
       pg_get_userbyid(c.relowner)::text as owner,
       case when not c.relrowsecurity then 'off' when c.relforcerowsecurity then 'forced' else 'on' end
           as row_security
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition and n.nspname <> 'information_schema'
  and n.nspname !~ '^pg_'
order by n.nspname, c.relname
"""

_COLUMNS: Final = """
with recursive under as (
    select t.oid, t.oid as base, t.typnotnull as not_null, t.typtypmod as modifier, array[]::oid[] as domains
    from pg_catalog.pg_type t where t.typtype <> 'd'
    union all
    select t.oid, u.base, t.typnotnull or u.not_null,
           case when t.typtypmod <> -1 then t.typtypmod else u.modifier end, u.domains || t.oid
    from pg_catalog.pg_type t join under u on t.typbasetype = u.oid where t.typtype = 'd'
)
select a.attrelid::int8 as relation, a.attnum::int4 as number, a.attname::text as name,
       format_type(a.atttypid, a.atttypmod) as type, b.typname::text as base, b.typcategory::text as category,
       case when a.atttypmod <> -1 then a.atttypmod else u.modifier end as modifier,
       array(select e.enumlabel::text from pg_catalog.pg_enum e where e.enumtypid = u.base
             order by e.enumsortorder) as labels,
       cardinality(u.domains) > 0 as is_domain,
       array(select pg_get_constraintdef(k.oid) from pg_catalog.pg_constraint k
             where k.contypid = any (u.domains) and k.contype = 'c') as domain_checks,
       not (a.attnotnull or u.not_null) as is_nullable, a.atthasdef as has_default,
       pg_get_expr(d.adbin, d.adrelid) as "default",
       a.attidentity::text as identity, a.attgenerated <> '' as is_generated
from pg_catalog.pg_attribute a
join under u on u.oid = a.atttypid join pg_catalog.pg_type b on b.oid = u.base
left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = any ($1::int8[]::oid[]) and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum
"""

_CONSTRAINTS: Final = """
select k.conrelid::int8 as relation, k.conname::text as name, k.contype::text as kind,
       k.confrelid::int8 as target, k.condeferrable as is_deferrable,
       pg_get_expr(k.conbin, k.conrelid) as expression,
       array(select a.attname::text from unnest(k.conkey) with ordinality as u (n, i)
             join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.n order by u.i)
           as columns,
       array(select a.attname::text from unnest(k.confkey) with ordinality as u (n, i)
             join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.n order by u.i)
           as target_columns
from pg_catalog.pg_constraint k
where k.conrelid = any ($1::int8[]::oid[]) and k.contype in ('c', 'f') and k.conparentid = 0
order by k.conrelid, k.conname
"""

_KEYS: Final = """
select i.indrelid::int8 as relation, i.indisprimary as is_primary,
       array(select a.attname::text
             from unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) with ordinality as u (n, p)
             join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = u.n order by u.p)
           as columns
from pg_catalog.pg_index i
where i.indrelid = any ($1::int8[]::oid[]) and i.indisunique and i.indpred is null and i.indexprs is null
order by i.indrelid, i.indexrelid
"""

_POLICIES: Final = """
select p.polrelid::int8 as relation, p.polname::text as name, p.polcmd::text as command,
       p.polpermissive as is_permissive,
       array(select case when r = 0 then 'public' else pg_get_userbyid(r)::text end
             from unnest(p.polroles) as r order by 1) as roles,
       pg_get_expr(p.polqual, p.polrelid) as "using", pg_get_expr(p.polwithcheck, p.polrelid) as "check",
       array(select distinct a.attname::text from pg_catalog.pg_depend d
             join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
             where d.classid = 'pg_catalog.pg_policy'::regclass and d.objid = p.oid
               and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = p.polrelid
               and d.refobjsubid > 0) as columns
from pg_catalog.pg_policy p where p.polrelid = any ($1::int8[]::oid[])
order by p.polrelid, p.polname
"""


async def read_tables(connection: asyncpg.Connection) -> dict[int, Table]:
    """Read every table of the database that is no partition, by oid."""
    return await _read(connection, await connection.fetch(_TABLES))


async def read_partitions(connection: asyncpg.Connection) -> list[tuple[Table, int]]:
    """Read every partition, each with the oid of the table that is parted."""
    rows = await connection.fetch(_TABLES.replace("not c.relispartition", "c.relispartition"))
    found = await _read(connection, rows)
    roots = await connection.fetch(
        "select p::int8 as oid, pg_partition_root(p::oid)::oid::int8 as root from unnest($1::int8[]) as p",
        list(found),
    )
    return [(found[row["oid"]], row["root"]) for row in roots]


async def read_columns(connection: asyncpg.Connection, oids: Sequence[int]) -> dict[int, dict[str, Column]]:
    """Read the columns of any relations, by oid."""
    rows = _by_relation(await connection.fetch(_COLUMNS, list(oids)))
    return {oid: {column.name: column for column in map(_column, found)} for oid, found in rows.items()}


async def _read(connection: asyncpg.Connection, tables: Sequence[Any]) -> dict[int, Table]:
    oids = [row["oid"] for row in tables]
    columns = _by_relation(await connection.fetch(_COLUMNS, oids))
    constraints = _by_relation(await connection.fetch(_CONSTRAINTS, oids))
    keys = _by_relation(await connection.fetch(_KEYS, oids))
    policies = _by_relation(await connection.fetch(_POLICIES, oids))
    return {
        row["oid"]: Table(
            **dict(row),
            columns={column.name: column for column in map(_column, columns.get(row["oid"], ()))},
            key=next((tuple(k["columns"]) for k in keys.get(row["oid"], ()) if k["is_primary"]), ()),
            unique=tuple(tuple(key["columns"]) for key in keys.get(row["oid"], ())),
            checks=tuple(_checks(constraints.get(row["oid"], ()))),
            foreign_keys=tuple(_foreign_keys(constraints.get(row["oid"], ()))),
            policies=tuple(_policy(policy) for policy in policies.get(row["oid"], ())),
        )
        for row in tables
    }


def _by_relation(rows: Iterable[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row["relation"], []).append(row)
    return found


def _column(row: Any) -> Column:
    values = {name: value for name, value in row.items() if name not in ("relation", "modifier")}
    values["labels"] = tuple(values["labels"])
    values["domain_checks"] = tuple(values["domain_checks"])
    return Column(size=_size(row["base"], row["modifier"]), **values)


def _size(base: str, modifier: int) -> int | None:
    """Most characters of a text, or digits before the point of a number (PostgreSQL's typmod)."""
    if modifier < 0:
        return None
    if base in ("varchar", "bpchar"):
        return modifier - 4
    if base == "numeric":
        return max(((modifier - 4) >> 16 & 0xFFFF) - (modifier - 4 & 0x7FF), 0)
    return modifier if base in ("bit", "varbit") else None


def _checks(rows: Sequence[Any]) -> list[Check]:
    return [
        Check(row["name"], tuple(row["columns"]), row["expression"]) for row in rows if row["kind"] == "c"
    ]


def _foreign_keys(rows: Sequence[Any]) -> list[ForeignKey]:
    return [
        ForeignKey(
            row["name"],
            tuple(row["columns"]),
            row["target"],
            tuple(row["target_columns"]),
            row["is_deferrable"],
        )
        for row in rows
        if row["kind"] == "f"
    ]


def _policy(row: Any) -> Policy:
    return Policy(
        row["name"],
        COMMANDS[row["command"]],
        row["is_permissive"],
        tuple(row["roles"]),
        row["using"],
        row["check"],
        frozenset(row["columns"]),
    )
