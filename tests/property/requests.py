"""Random valid requests over a `World`, as trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct, field

from tests.property.schema import CALLERS, Column, Table, Way, World
from tests.property.types import PATTERNS, SEARCHES, SETS, TEXTS, WORDS, Value

if TYPE_CHECKING:
    from random import Random

MAX_DEPTH: Final = 3
QUANTIFIED: Final = ("eq", "gt", "gte", "lt", "lte", "like", "ilike", "match", "imatch")


class Place(Struct, frozen=True):
    """A column, or a place inside a document of the shapes that `draw_document` makes."""

    column: Column
    path: tuple[str | int, ...] = ()
    is_text: bool = False


class Output(Struct, frozen=True):
    """One value of ``select``; without a place it counts rows."""

    place: Place | None
    alias: str | None = None
    aggregate: str | None = None
    is_cast: bool = False


class Star(Struct, frozen=True):
    """All columns."""


class Embed(Struct, frozen=True):
    way: Way
    called: tuple[str, str | None]
    select: Select
    alias: str | None
    is_inner: bool
    is_spread: bool

    @property
    def name(self) -> str:
        return self.alias or self.called[0]


class Compared(Struct, frozen=True):
    place: Place
    operator: str
    value: Value
    negated: bool = False
    quantifier: str | None = None


class Being(Struct, frozen=True):
    """``is``; on an embed, whether it is missing."""

    of: Place | str
    value: str
    negated: bool = False


class Logic(Struct, frozen=True):
    connective: Literal["and", "or"]
    terms: tuple[Condition, ...]
    negated: bool = False


Condition: TypeAlias = Compared | Being | Logic


class Ordering(Struct, frozen=True):
    place: Place
    direction: str = ""
    nulls: str = ""
    of: str | None = None
    """An embed to one row, by whose column it goes."""


class Select(Struct, frozen=True):
    table: Table
    items: tuple[Star | Output | Embed, ...]
    where: tuple[Condition, ...] = ()
    order: tuple[Ordering, ...] = ()
    limit: int | None = None
    offset: int = 0

    @property
    def embeds(self) -> list[Embed]:
        return [item for item in self.items if isinstance(item, Embed)]

    @property
    def is_grouped(self) -> bool:
        return any(isinstance(item, Output) and item.aggregate for item in self.items)


class Asked(Struct, frozen=True):
    """A request: who asks what, and with which headers."""

    caller: str
    select: Select
    method: str = "GET"
    count: str | None = None
    range: tuple[int, int] | None = None
    shape: Literal["array", "stripped"] = "array"
    headers: dict[str, str] = field(default_factory=dict)


def draw_request(rng: Random, world: World) -> Asked:
    """Make a request that must be answered with 200, 206 or 416."""
    select = draw_select(rng, world, rng.choice(list(world.tables.values())), 0)
    headers: dict[str, str] = {}
    count = rng.choice([None, None, "exact"])
    if count is not None:
        headers["Prefer"] = f"count={count}"
        select = unpaged(select)
    asked_range = None
    if rng.random() < 0.15 and select.order:
        first = rng.randrange(4)
        asked_range = (first, first + rng.randrange(5))
        headers |= {"Range-Unit": "items", "Range": f"{asked_range[0]}-{asked_range[1]}"}
    shape: Literal["array", "stripped"] = "stripped" if rng.random() < 0.1 else "array"
    if shape == "stripped":
        headers["Accept"] = "application/vnd.pgrst.array+json;nulls=stripped"
    method = "HEAD" if rng.random() < 0.05 else "GET"
    caller = rng.choice(CALLERS)
    if asked_range is None and rng.random() < 0.2:
        select = _of_one(rng, select)
    return Asked(caller, select, method, count, asked_range if method == "GET" else None, shape, headers)


def _of_one(rng: Random, select: Select) -> Select:
    """Ask for the row with a key, or for one that may be missing."""
    table = select.table
    row = rng.choice(table.rows) if table.rows and rng.random() < 0.8 else None
    key = [table.column(name) for name in table.key]
    values = [one.type.draw(rng) if row is None else row[one.name] for one in key]
    equal = (Compared(Place(column), "eq", value) for column, value in zip(key, values, strict=True))
    where = select.where if rng.random() < 0.3 else ()
    order = select.order if rng.random() < 0.3 or not key else ()
    limit, offset = (select.limit, select.offset) if not key else (None, 0)
    return Select(table, select.items, (*where, *equal), order, limit, offset)


def unpaged(select: Select) -> Select:
    """Take the pages off all embeds: a total, as in PostgREST, is that of rows whose embeds have no page."""
    items = tuple(
        Embed(i.way, i.called, _unpaged_within(i.select), i.alias, i.is_inner, i.is_spread)
        if isinstance(i, Embed)
        else i
        for i in select.items
    )
    return Select(select.table, items, select.where, select.order, select.limit, select.offset)


def _unpaged_within(select: Select) -> Select:
    inner = unpaged(select)
    return Select(inner.table, inner.items, inner.where, inner.order)


def draw_select(rng: Random, world: World, table: Table, depth: int) -> Select:
    """Make a selection of ``table``."""
    if rng.random() < 0.15:
        return _draw_aggregates(rng, table)
    items: list[Star | Output | Embed] = []
    taken: set[str] = set()
    if rng.random() < 0.3:
        items.append(Star())
        taken |= {column.name for column in table.columns}
    else:
        items += (_draw_output(rng, table, taken) for _ in range(rng.randrange(4)))
    if depth < MAX_DEPTH:
        ways = [way for way in world.ways[table.name] if way.names]
        for way in rng.choices(ways, k=rng.choice([0, 0, 1, 1, 2])) if ways else []:
            if (embed := _draw_embed(rng, world, way, depth, taken)) is not None:
                items.append(embed)
    embeds = [item for item in items if isinstance(item, Embed)]
    where = tuple(draw_condition(rng, table, embeds) for _ in range(rng.choice([0, 0, 1, 1, 2])))
    order = _draw_order(rng, table, embeds)
    limit = rng.choice([None, 1, 2, 5, 0]) if order else None
    offset = rng.choice([0, 0, 1, 3]) if order else 0
    return Select(table, tuple(items), where, order, limit, offset)


def _draw_output(rng: Random, table: Table, taken: set[str]) -> Output:
    place = draw_place(rng, table, is_output=True)
    is_cast = place.column.type.name in ("int", "bigint", "bool", "uuid") and rng.random() < 0.2
    output = Output(place, None, is_cast=is_cast)
    if name_of(output) in taken or rng.random() < 0.2:
        output = Output(place, _alias(rng, taken), is_cast=is_cast)
    taken.add(name_of(output))
    return output


def _alias(rng: Random, taken: set[str]) -> str:
    alias = f"{rng.choice(['as', 'As Is', 'n', 'ä'])}{len(taken)}"
    while alias in taken:
        alias += "x"
    taken.add(alias)
    return alias


def name_of(output: Output) -> str:
    """Return the key that an output has in the answer."""
    if output.alias or output.aggregate:
        return output.alias or output.aggregate or ""
    assert output.place is not None
    keys = [key for key in output.place.path if isinstance(key, str)]
    return keys[-1] if keys else output.place.column.name


def _draw_embed(rng: Random, world: World, way: Way, depth: int, taken: set[str]) -> Embed | None:
    called = rng.choice(way.names)
    is_spread = rng.random() < 0.2
    select = draw_select(rng, world, world.tables[way.target], depth + 1)
    if is_spread:
        names = output_names(select)
        if select.is_grouped or not names or taken & set(names) or len(set(names)) < len(names):
            return None
        taken |= set(names)
    is_inner = rng.random() < 0.25 and not select.is_grouped
    if way.cardinality == "one" or is_inner:
        select = Select(
            select.table, select.items, select.where, () if way.cardinality == "one" else select.order
        )
    alias = None
    if is_spread:
        if called[0] in taken:  # what joins are called must differ, and a spread has no alias
            return None
        taken.add(called[0])
    elif called[0] in taken or rng.random() < 0.4:
        alias = _alias(rng, taken)
    else:
        taken.add(called[0])
    return Embed(way, called, select, alias, is_inner, is_spread)


def output_names(select: Select) -> list[str]:
    """Return the keys of a row in the answer."""
    names: list[str] = []
    for item in select.items:
        if isinstance(item, Star):
            names += (column.name for column in select.table.columns)
        elif isinstance(item, Output):
            names.append(name_of(item))
        elif item.is_spread:
            names += output_names(item.select)
        elif output_names(item.select):
            names.append(item.name)
    return names


def _draw_aggregates(rng: Random, table: Table) -> Select:
    """Make a selection of groups, or of one row about all."""
    keys = [c for c in table.columns if c.type.is_ordered and rng.random() < 0.3]
    items: list[Star | Output | Embed] = [Output(Place(column)) for column in keys]
    taken = {column.name for column in keys}
    numbers = [column for column in table.columns if column.type.is_number]
    ordered = [
        column
        for column in table.columns
        if column.type.is_ordered and column.type.name not in ("bool", "uuid")
    ]
    for _ in range(rng.randrange(1, 4)):
        name = rng.choice(["sum", "avg", "min", "max", "count", "count"])
        columns = numbers if name in ("sum", "avg") else ordered
        place = None if name == "count" and rng.random() < 0.5 else Place(rng.choice(columns))
        output = Output(place, None, name)
        if name in taken or rng.random() < 0.3:
            output = Output(place, _alias(rng, taken), name)
        taken.add(name_of(output))
        items.append(output)
    where = tuple(draw_condition(rng, table, []) for _ in range(rng.choice([0, 1])))
    order = tuple(_ordering(rng, Place(column)) for column in keys) if rng.random() < 0.5 else ()
    return Select(table, tuple(items), where, order, rng.choice([None, 2]) if order else None)


def draw_place(rng: Random, table: Table, *, is_output: bool = False) -> Place:
    column = rng.choice(table.columns)
    if column.type.name == "document" and rng.random() < 0.7:
        paths: list[tuple[tuple[str | int, ...], bool]] = [
            (("city",), True),
            (("in side", "deep"), True),
            (("nothing", "at", "all"), False),
        ]
        if is_output:
            paths += [(("n",), False), (("list",), False), (("list", 0), False), (("list", -1), False)]
        path, is_text = rng.choice(paths)
        return Place(column, path, is_text)
    return Place(column)


def _ordering(rng: Random, place: Place, of: str | None = None) -> Ordering:
    return Ordering(
        place, rng.choice(["", "asc", "desc"]), rng.choice(["", "", "nullsfirst", "nullslast"]), of
    )


def _draw_order(rng: Random, table: Table, embeds: list[Embed]) -> tuple[Ordering, ...]:
    """Make an order that ties nothing, or none."""
    if rng.random() < 0.5:
        return ()
    terms: list[Ordering] = []
    for embed in embeds:
        if embed.way.cardinality == "one" and not embed.is_spread and rng.random() < 0.3:
            plain = [place for item in embed.select.items if (place := _plain(item)) is not None]
            if plain and not embed.select.is_grouped:
                terms.append(_ordering(rng, rng.choice(plain), embed.name))
    columns = [column for column in table.columns if column.type.is_ordered and column.name not in table.key]
    terms += (
        _ordering(rng, Place(column)) for column in rng.sample(columns, min(len(columns), rng.randrange(3)))
    )
    terms += (_ordering(rng, Place(table.column(name))) for name in table.key)
    return tuple(terms)


def _plain(item: Star | Output | Embed) -> Place | None:
    """Return the place of a column under its own name, by which the parent may be ordered."""
    if not isinstance(item, Output) or item.place is None or item.alias or item.is_cast:
        return None
    return item.place if not item.place.path and item.place.column.type.is_ordered else None


def draw_condition(rng: Random, table: Table, embeds: list[Embed], depth: int = 0) -> Condition:
    if depth < 3 and rng.random() < 0.25:
        terms = tuple(draw_condition(rng, table, embeds, depth + 1) for _ in range(rng.randrange(1, 4)))
        return Logic(rng.choice(["and", "or"]), terms, rng.random() < 0.3)
    by_name = [
        e for e in embeds if not e.select.is_grouped and not e.is_spread and not _has_column(table, e.name)
    ]
    if by_name and rng.random() < 0.2:
        return Being(rng.choice(by_name).name, "null", rng.random() < 0.5)
    place = draw_place(rng, table)
    if rng.random() < 0.15:
        values = ["null", "not_null"]
        if place.column.type.name == "bool":
            values += ["true", "false", "unknown"]
        return Being(place, rng.choice(values), rng.random() < 0.3)
    return draw_comparison(rng, table, place)


def _has_column(table: Table, name: str) -> bool:
    return any(column.name == name for column in table.columns)


def draw_comparison(rng: Random, table: Table, place: Place) -> Compared:
    type_ = place.column.type
    if place.path:
        if not place.is_text:
            return Compared(place, "eq", "{}")
        operator = rng.choice(["eq", "neq", "in", "like"])
        value = (
            [rng.choice(["Rome", "x", ""]), 'a "b"'] if operator == "in" else rng.choice(["Rome", "x", ""])
        )
        return Compared(place, operator, value, rng.random() < 0.2)
    operator = rng.choice(type_.operators)
    negated = rng.random() < 0.2
    if operator in QUANTIFIED and rng.random() < 0.2 and type_.is_ordered:
        values = [_operand(rng, table, place, operator) for _ in range(rng.randrange(1, 4))]
        return Compared(place, operator, values, negated, rng.choice(["any", "all"]))
    if operator == "in":
        values = [_operand(rng, table, place, "eq") for _ in range(rng.choice([0, 1, 2, 5]))]
        if values == [""]:
            values.append("x")  # alone it would be the empty list
        return Compared(place, "in", values, negated)
    return Compared(place, operator, _operand(rng, table, place, operator), negated)


def _operand(rng: Random, table: Table, place: Place, operator: str) -> Value:
    type_ = place.column.type
    if operator in PATTERNS:
        return _pattern(rng, operator)
    if operator in SEARCHES:
        return _search(rng, operator)
    if operator in SETS and type_.name == "document":
        return rng.choice(
            [{}, {"city": "Rome"}, {"list": [1]}, {"in side": {"deep": "x"}}, {"n": 1, "city": "Oslo"}]
        )
    present = [row[place.column.name] for row in table.rows if row.get(place.column.name) is not None]
    if present and rng.random() < 0.6:
        return rng.choice(present)
    return type_.draw(rng)


def _pattern(rng: Random, operator: str) -> str:
    if operator in ("match", "imatch"):
        return rng.choice(["^a", "b$", "a.b", "[abc]", "(x|say)", "^$", "é", r"\(", "^.{1,2}$"])
    text = rng.choice(TEXTS)
    whole = "".join("\\" + char if char in "%_\\" and rng.random() < 0.5 else char for char in text)
    if whole.endswith("\\") or "\\" in text:
        whole = "a"
    return rng.choice(["{}*", "*{}*", "*{}", "{}", "_{}%"]).format(whole[: rng.randrange(1, 6)].rstrip("\\"))


def _search(rng: Random, operator: str) -> str:
    one, other = rng.sample(WORDS, 2)
    if operator == "fts":
        return rng.choice([one, f"{one}&{other}", f"{one}|{other}"])
    return rng.choice([one, f"{one} {other}", f"{one} -{other}" if operator == "wfts" else other])
