"""Random schemas with data: tables, keys, policies, and names that want quoting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

from tests.property.types import INT, LABELS, SUBJECTS, TYPES, Type, Value

if TYPE_CHECKING:
    from random import Random

SCHEMA: Final = "public"
Cardinality: TypeAlias = Literal["one", "many"]

PLAIN: Final = (
    "apple",
    "boat",
    "cat",
    "door",
    "egg",
    "fish",
    "goat",
    "hat",
    "ice",
    "jar",
    "kite",
    "lamp",
    "moon",
)
STRANGE: Final = (
    "With Space", "Caps", 'quo"te', "dot.ted", "a,b", "pa(ren)s", "back\\slash", "ünïcode", "日本",
    "per%cent", "a:b", "semi;colon", "a'b", "$1", "arrow->x", "star*", "select", "table", "not", "null",
    "a&b=c", "1digit", "a!b", "-- x",
)  # fmt: skip


class Column(Struct, frozen=True):
    name: str
    type: Type
    is_nullable: bool = True


class Table(Struct, frozen=True):
    """A table; views show some of the columns of one, ``of``, under its row security.

    Attributes:
        key: Columns of the primary key.
        rows: What is in it, by column.
        policy: ``@public`` without row security, else the condition of its policy, None for none.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    rows: tuple[dict[str, Value], ...] = ()
    policy: str | None = None

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


class ForeignKey(Struct, frozen=True):
    name: str
    source: str
    target: str
    pairs: tuple[tuple[str, str], ...]
    is_unique: bool = False


class Way(Struct, frozen=True):
    """A relationship as a request walks it.

    Attributes:
        pairs: Columns of the origin and of the target that are equal, or of origin and junction.
        onward: Columns of junction and target.
        names: What may stand before the parenthesis of an embed, the hint included.
    """

    origin: str
    target: str
    cardinality: Cardinality
    pairs: tuple[tuple[str, str], ...]
    junction: str | None = None
    onward: tuple[tuple[str, str], ...] = ()
    names: tuple[tuple[str, str | None], ...] = ()


class World(Struct, frozen=True):
    """A schema with data."""

    tables: dict[str, Table]
    keys: tuple[ForeignKey, ...]
    ways: dict[str, tuple[Way, ...]]


class _Names:
    """Names that are all different."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._is_strange = rng.random() < 0.4
        self._count = 0

    def take(self) -> str:
        self._count += 1
        base = self._rng.choice(STRANGE if self._is_strange and self._rng.random() < 0.5 else PLAIN)
        return f"{base}{self._count}"


def draw_world(rng: Random) -> World:
    """Make a schema of two to six tables, referring to each other at random, with rows in them."""
    names = _Names(rng)
    tables: dict[str, Table] = {}
    keys: list[ForeignKey] = []
    for _ in range(rng.randrange(2, 5)):
        _add_table(rng, names, tables, keys)
    for _ in range(rng.randrange(3)):
        _add_junction(rng, names, tables, keys)
    return World(tables, tuple(keys), {name: tuple(_ways(name, tables, keys)) for name in tables})


def _add_table(rng: Random, names: _Names, tables: dict[str, Table], keys: list[ForeignKey]) -> None:
    name = names.take()
    columns = [Column("id", INT, is_nullable=False)]
    columns += (Column(names.take(), rng.choice(TYPES)) for _ in range(rng.randrange(1, 6)))
    policy = _policy(rng, names, columns)
    count = rng.choice([0, 1, 3, 8, 15])
    rows = [{c.name: _value(rng, c) for c in columns} | {"id": at} for at in range(1, count + 1)]
    tables[name] = Table(name, tuple(columns), ("id",), tuple(rows), policy)
    for target in rng.choices(list(tables), k=rng.randrange(3)):
        _add_reference(rng, names, tables, keys, name, target)


def _value(rng: Random, column: Column) -> Value:
    return None if column.is_nullable and rng.random() < 0.2 else column.type.draw(rng)


def _policy(rng: Random, names: _Names, columns: list[Column]) -> str | None:
    kind = rng.choice(["public", "public", "all", "none", "rows", "own", "signed in"])
    if kind == "own":
        column = Column(names.take(), next(type_ for type_ in TYPES if type_.name == "uuid"))
        columns.append(column)
        return f"using ({quoted(column.name)} = auth.uid())"
    return {
        "public": "@public",
        "all": "using (true)",
        "none": None,
        "rows": "using (id % 3 > 0)",
        "signed in": "to authenticated using (id % 2 = 0 or auth.uid() is not null)",
    }[kind]


def _add_reference(  # noqa: PLR0913, PLR0917  what is being made
    rng: Random,
    names: _Names,
    tables: dict[str, Table],
    keys: list[ForeignKey],
    source: str,
    target: str,
) -> None:
    table, targets = tables[source], [row["id"] for row in tables[target].rows]
    is_unique = rng.random() < 0.25
    column = names.take()
    left = rng.sample(targets, len(targets))
    rows = []
    for row in table.rows:
        value = None
        if left and rng.random() < 0.8:
            value = left.pop() if is_unique else rng.choice(left)
        rows.append({**row, column: value})
    tables[source] = Table(
        table.name, (*table.columns, Column(column, INT)), table.key, tuple(rows), table.policy
    )
    keys.append(ForeignKey(names.take(), source, target, ((column, "id"),), is_unique))


def _add_junction(rng: Random, names: _Names, tables: dict[str, Table], keys: list[ForeignKey]) -> None:
    ends = [name for name in tables if tables[name].key == ("id",)]
    here, there = rng.sample(ends, 2)
    name, left, right, extra = (names.take() for _ in range(4))
    columns = [Column(left, INT, is_nullable=False), Column(right, INT, is_nullable=False)]
    columns.append(Column(extra, rng.choice(TYPES)))
    rows = [
        {left: a["id"], right: b["id"], extra: _value(rng, columns[2])}
        for a in tables[here].rows
        for b in tables[there].rows
        if rng.random() < 0.3
    ]
    policy = rng.choice(["@public", "using (true)", f"using ({quoted(left)} % 2 = 1)"])
    tables[name] = Table(name, tuple(columns), (left, right), tuple(rows), policy)
    keys.append(ForeignKey(names.take(), name, here, ((left, "id"),)))
    keys.append(ForeignKey(names.take(), name, there, ((right, "id"),)))


def _ways(name: str, tables: dict[str, Table], keys: list[ForeignKey]) -> list[Way]:
    found: list[tuple[Way, str, str]] = []  # with the hint, and the name that stands alone
    for key in keys:
        back = tuple((there, here) for here, there in key.pairs)
        if key.source == name:
            found.append((Way(name, key.target, "one", key.pairs), key.name, key.pairs[0][0]))
        if key.target == name:
            cardinality: Cardinality = "one" if key.is_unique else "many"
            found.append((Way(name, key.source, cardinality, back), key.name, ""))
    for table in tables.values():
        ends = [key for key in keys if key.source == table.name and key.pairs[0][0] in table.key]
        for here in ends if len(table.key) > 1 else []:
            for there in ends:
                if here is not there and here.target == name:
                    back = tuple((far, near) for near, far in here.pairs)
                    way = Way(name, there.target, "many", back, table.name, there.pairs)
                    found.append((way, table.name, ""))
    return [_named(way, hint, alone, [other for other, _, _ in found]) for way, hint, alone in found]


def _named(way: Way, hint: str, alone: str, all_ways: list[Way]) -> Way:
    """Give ``way`` the names that mean it and no other."""
    names: list[tuple[str, str | None]] = []
    if [other.target for other in all_ways].count(way.target) == 1:
        names.append((way.target, None))
    if alone:
        names.append((alone, None))
    if way.target != way.origin:
        names.append((way.target, hint))
    elif not alone:
        names.append((way.target, way.pairs[0][1]))  # of a self reference, the way to the many
    return Way(way.origin, way.target, way.cardinality, way.pairs, way.junction, way.onward, tuple(names))


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(column: Column, value: Value) -> str:
    if value is None:
        return "null"
    text = column.type.write(value)
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def write_world(world: World) -> str:
    """Return the SQL that makes ``world`` in an emptied schema."""
    labels = ", ".join(f"'{label}'" for label in LABELS)
    lines = [
        f"drop schema {SCHEMA} cascade; create schema {SCHEMA}; grant usage on schema {SCHEMA} to public;",
        f"create type {SCHEMA}.level as enum ({labels});",
    ]
    lines += (_create(table) for table in world.tables.values())
    for key in world.keys:
        source, target = f"{SCHEMA}.{quoted(key.source)}", f"{SCHEMA}.{quoted(key.target)}"
        (here, there), *_ = key.pairs
        lines.append(
            f"alter table {source} add constraint {quoted(key.name)} foreign key ({quoted(here)})"
            f" references {target} ({quoted(there)});"
        )
        if key.is_unique:
            lines.append(f"alter table {source} add unique ({quoted(here)});")
    return "\n".join(lines)


def _create(table: Table) -> str:
    name = f"{SCHEMA}.{quoted(table.name)}"
    columns = ", ".join(
        f"{quoted(c.name)} {c.type.sql.format(schema=SCHEMA)}{'' if c.is_nullable else ' not null'}"
        for c in table.columns
    )
    key = ", ".join(quoted(column) for column in table.key)
    lines = [f"create table {name} ({columns}, primary key ({key}));"]
    lines.append(f"grant select on {name} to anon, authenticated, service_role;")
    if table.policy == "@public":
        lines.append(f"comment on table {name} is '@public';")
    else:
        lines.append(f"alter table {name} enable row level security;")
        if table.policy is not None:
            lines.append(f"create policy rows on {name} {table.policy};")
    lines += (
        f"insert into {name} values ({', '.join(literal(c, row[c.name]) for c in table.columns)});"
        for row in table.rows
    )
    return "\n".join(lines)


CALLERS: Final = ("service_role", "anon", *(str(subject) for subject in SUBJECTS[:2]))
