"""A watched table and an operation → the statement that writes down what another statement did to it.

One row of ``monohull.row_changes`` holds the rows of a statement as arrays of
JSON, ready to be told: secret columns are hidden, what is too large is cut.
Statements of very many rows, or very large ones, make several. The relay makes
events of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from monohull.kernel.row_watching import SIDES, TRANSITION_TABLES, array, literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monohull.kernel.row_watching import Watch, WatchedTable

MAX_ROW_BYTES: Final = 1024 * 1024
"""A row that is larger as JSON has the sizes of its large values in their place."""
MOST_ROWS: Final = 1000
"""So many rows of a statement are written together, and become events in one round of the relay."""
MOST_BYTES: Final = 4 * 1024 * 1024
"""As JSON they are no larger than this and one row more."""
FACTS: Final = ("schema_name", "table_name", "actor", "request_id", "traceparent")
"""What the trigger knows before it writes."""
GIVEN: Final = ", ".join(f"${number} as {name}" for number, name in enumerate(FACTS, 1))
TOGETHER_BYTES: Final = 4 * MOST_BYTES
"""Rows of a statement that are larger than this together are parted."""
BY_COLUMN: Final = "\0row"
"""Stands in a statement for what makes JSON of a row column by column."""
_ESCAPE: Final = literal("\\u")


def insert(  # noqa: PLR0913 what is read, and how
    table: WatchedTable,
    operation: str,
    watches: Sequence[Watch],
    *,
    is_asked: bool = False,
    is_numbered: bool = False,
    is_parted: bool = False,
    is_small: bool = False,
    is_named: bool = True,
    row: str | None = None,
) -> str:
    """Return the statement.

    Args:
        table: Whose rows they are.
        operation: What was done to them.
        watches: Those that want to be told of it.
        is_asked: Whether conditions are over columns, which then have to be read.
        is_numbered: Whether conditions are over the numbers of rows.
        is_parted: Whether there may be more rows than are written together.
        is_small: Whether nothing is written unless the rows are few, small and of plain types.
        is_named: Whether somebody is known on whose behalf it is; the trigger's own variables are read then.
        row: What makes JSON of a row, unless `to_json` does.
    """
    tested = is_tested(operation, watches)
    if is_small:
        told = _few(table, operation, gate=has_plain_types(table, is_own=not is_named))
    else:
        source = source_of(table, operation, is_asked=is_asked, is_numbered=is_numbered or is_parted, row=row)
        told = _chosen(table, operation, watches, source, is_parted=is_parted)
    name = "facts.schema_name, facts.table_name" if is_named else "tg_table_schema, tg_table_name"
    cause = "facts.actor, facts.request_id, facts.traceparent" if is_named else "null, null, null"
    if table.by_row:
        name = f"{literal(table.root_schema)}, {literal(table.root_table)}"
    for_all = "null" if tested else array(watch.watcher for watch in watches)
    is_keyed = table.keys and not set(table.keys) & set(table.hidden)
    order = " order by told.part" if is_parted else ""
    given = "" if row is None else f" cross join (select {GIVEN}) as facts"
    lines = (
        "insert into monohull.row_changes (operation, schema_name, table_name, keys, events, rows, old_rows,",
        "    watchers, each_watchers, actor, request_id, traceparent)",
        f"select '{operation}', {name}, {array(table.keys) if is_keyed else 'null'}, told.events,",
        f"    told.rows, told.old_rows, {for_all}, told.watchers,",
        f"    {cause}",
        f"from {told} as told{given}",
        f"where told.events > 0{order};",
    )
    return "".join(f"        {line}\n" for line in lines)


def _few(table: WatchedTable, operation: str, *, gate: str) -> str:
    """Return all rows, if they are few and can be told as they are; otherwise none.

    Each side is one array that is made in one go, with one row too many where there are more. Those before
    and after an update are paired by their place in the arrays.
    """
    sides = SIDES[operation]
    made = [
        f"array(select to_json(changed.*) from {TRANSITION_TABLES[side]} as changed "  # noqa: S608 quoted
        f"where {gate} limit {MOST_ROWS + 1}) as {side}_rows"
        for side in sides
    ]
    rows, old_rows = (
        _all_visible(table, f"made.{side}_rows") if side in sides else "null::json[]"
        for side in ("new", "old")
    )
    return (
        f"(select cardinality(made.{sides[0]}_rows) as events, {rows} as rows, {old_rows} as old_rows, "  # noqa: S608 quoted
        f"null::text[] as watchers from (select {', '.join(made)} offset 0) as made "
        f"where {_are_whole(table, sides)})"
    )


def _are_whole(table: WatchedTable, sides: Sequence[str]) -> str:
    """Return whether arrays hold all rows, and none that has to be cut, or be made readable first.

    Each row is asked for its size only where they are large together, and for escapes only if the table has
    a column of type json: the planner finds that out, as it does in `has_plain_types`.
    """
    arrays = [f"made.{side}_rows" for side in sides]
    size = " + ".join(f"pg_column_size({one})" for one in arrays)
    are_small = " and ".join(f"monohull.are_small({one}, {MAX_ROW_BYTES})" for one in arrays)
    are_readable = " and ".join(f"strpos(array_to_string({one}, ''), {_ESCAPE}) = 0" for one in arrays)
    return (
        f"cardinality({arrays[0]}) between 1 and {MOST_ROWS} "
        f"and ({size} <= {MAX_ROW_BYTES} or ({size} <= {TOGETHER_BYTES} and {are_small})) "
        f"and (not monohull.keeps_json('{table.oid}'::regclass) or ({are_readable}))"
    )


def has_plain_types(table: WatchedTable, *, is_own: bool = False) -> str:
    """Return whether all columns are of types that came with PostgreSQL, as others are looked at closely.

    The planner finds it out, as it takes the function to be immutable, and again when the table was altered:
    a plan that reads its rows, or names it as a constant, is void then. A function that was restored with
    another database may have the number of another table in it, unless it was found to be the table's own.
    """
    asked = f"monohull.has_plain_types('{table.oid}'::regclass)"
    return asked if is_own else f"(facts.relation = {table.oid} and {asked})"


def are_few(rows: str, size: str) -> str:
    """Return whether rows are written together."""
    return f"{rows} <= {MOST_ROWS} and {size} <= {TOGETHER_BYTES}"


def counted(operation: str) -> str:
    """Return the rows that are counted, as ``changed``."""
    return f"{TRANSITION_TABLES[SIDES[operation][0]]} as changed"


def bytes_of(operation: str) -> str:
    """Return how large the rows of a statement are, as they are stored."""
    size = "coalesce(sum(pg_column_size(changed.*)), 0)"
    others = [TRANSITION_TABLES[side] for side in SIDES[operation][1:]]
    return size + "".join(f" + (select {size} from {other} as changed)" for other in others)  # noqa: S608 our own


def _chosen(
    table: WatchedTable, operation: str, watches: Sequence[Watch], source: str, *, is_parted: bool
) -> str:
    """Return the rows that somebody wants, and who does."""
    sides = SIDES[operation]
    tested = is_tested(operation, watches)
    is_ordered = is_parted or (len(sides) > 1 and not table.by_row)
    columns = [f"{_record(table, f'{side}.monohull_json')} as {side}_row" for side in sides]
    if is_ordered:
        columns.append(f"{sides[0]}.monohull_nth as nth")
    if tested:
        columns.append("for_whom.watchers::text as watchers")
        source += (
            f" cross join lateral (select {_watchers(operation, watches)} as watchers) as for_whom "
            "where for_whom.watchers <> '{}'"
        )
    chosen, group = f"(select {', '.join(columns)} from {source})", ""  # noqa: S608 quoted
    if is_parted:
        size = " + ".join(f"octet_length({side}_row::text)" for side in sides)
        part = f"sum({size} + {MOST_BYTES // MOST_ROWS}) over (rows unbounded preceding) / {MOST_BYTES}"
        chosen = f"(select *, {part} as part from {chosen} as counted)"  # noqa: S608 quoted
        group = " group by each.part"
    order = " order by each.nth" if is_ordered else ""
    rows, old_rows = (
        f"array_agg(each.{side}_row{order})" if side in sides else "null::json[]" for side in ("new", "old")
    )
    whom = f"array_agg(each.watchers{order})" if tested else "null::text[]"
    return (
        f"(select {'each.part, ' if is_parted else ''}count(*) as events, {rows} as rows, "  # noqa: S608 quoted
        f"{old_rows} as old_rows, {whom} as watchers from {chosen} as each{group})"
    )


def source_of(
    table: WatchedTable, operation: str, *, is_asked: bool, is_numbered: bool, row: str | None = None
) -> str:
    """Return the rows as ``new`` and ``old``, with their columns where a condition asks for them."""
    sides = SIDES[operation]
    is_numbered = is_numbered or len(sides) > 1
    parts = [_side(table, side, is_asked=is_asked, is_numbered=is_numbered, row=row) for side in sides]
    if is_asked:
        parts += [
            f"(select (null::{table.name}).*) as {side}" for side in ("new", "old") if side not in sides
        ]
    source = " cross join ".join(parts)
    if len(sides) > 1 and not table.by_row:
        first, second, *_ = parts
        source = f"{first} join {second} on new.monohull_nth = old.monohull_nth"
    return source


def _side(table: WatchedTable, side: str, *, is_asked: bool, is_numbered: bool, row: str | None) -> str:
    """Return the rows of one side. ``offset 0`` has them made into JSON once, however often that is used."""
    if table.by_row:
        columns = ", r.*" if is_asked else ""
        record = f" from json_populate_record(null::{table.name}, facts.{side}_json) as r" if is_asked else ""
        return f"(select facts.{side}_json as monohull_json{columns}{record}) as {side}"
    nth = ", row_number() over () as monohull_nth" if is_numbered else ""
    columns = ", changed.*" if is_asked else ""
    source = f"from {TRANSITION_TABLES[side]} as changed offset 0"
    made = f"(select {row or 'to_json(changed.*)'} as monohull_raw{nth}{columns} {source})"
    clean = readable("monohull_raw")
    return f"(select {clean} as monohull_json, made.* from {made} as made offset 0) as {side}"  # noqa: S608 quoted


def readable(json: str) -> str:
    """Return JSON that PostgreSQL can read: a column of type json may hold what no text can."""
    return (
        f"case when strpos({json}::text, {_ESCAPE}) > 0 then monohull.readable_json({json}) else {json} end"
    )


def _record(table: WatchedTable, json: str) -> str:
    """Return a row as it is told."""
    return (
        f"case when octet_length({json}::text) <= {MAX_ROW_BYTES} then {_visible(table, json)} "
        f"else monohull.told_row({json}, {array(table.hidden)}, {array(table.keys)}, {MAX_ROW_BYTES}) end"
    )


def _visible(table: WatchedTable, json: str) -> str:
    """Return a row without the values of secret columns."""
    return f"monohull.without_hidden({json}, {array(table.hidden)})" if table.hidden else json


def _all_visible(table: WatchedTable, rows: str) -> str:
    """Return rows without the values of secret columns."""
    if not table.hidden:
        return rows
    return f"array(select {_visible(table, 'each.whole')} from unnest({rows}) as each (whole))"  # noqa: S608 quoted


def _watchers(operation: str, watches: Sequence[Watch]) -> str:
    cases = ", ".join(
        literal(watch.watcher) if test is None else f"case when {test} then {literal(watch.watcher)} end"
        for watch in watches
        for test in [_test(operation, watch)]
    )
    return f"array_remove(array[{cases}]::text[], null)"


def is_tested(operation: str, watches: Sequence[Watch]) -> bool:
    """Whether there is a row of which not all of these want to be told."""
    return any(_test(operation, watch) for watch in watches)


def _test(operation: str, watch: Watch) -> str | None:
    """Return what has to hold of a row for the watcher to be told of it, or None."""
    tests = [] if watch.condition is None else [f"({watch.condition})"]
    if watch.columns is not None and operation == "UPDATE":
        changed = " or ".join(
            f"(new.monohull_json -> {literal(name)})::text is distinct from "
            f"(old.monohull_json -> {literal(name)})::text"
            for name in watch.columns
        )
        tests.append(f"({changed})")
    return " and ".join(tests) or None
