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
    is_gated: bool = False,
    is_single: bool = False,
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
        is_gated: Whether nothing is written unless the rows are few, small and of plain types.
        is_single: Whether nothing is written unless there is one row, and it is small and of plain types.
        row: What makes JSON of a row, unless `to_json` does.
    """
    tested = is_tested(operation, watches)
    if tested or is_parted or table.by_row:
        source = source_of(table, operation, is_asked=is_asked, is_numbered=is_numbered or is_parted, row=row)
        told = _chosen(table, operation, watches, source, is_parted=is_parted)
    elif is_single:
        told = _one(table, operation)
    else:
        told = _all(table, operation, is_gated=is_gated)
    name = "facts.schema_name, facts.table_name"
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
        "    facts.actor, facts.request_id, facts.traceparent",
        f"from {told} as told{given}",
        f"where {'told.is_whole' if is_gated else 'told.events > 0'}{order};",
    )
    return "".join(f"        {line}\n" for line in lines)


def _one(table: WatchedTable, operation: str) -> str:
    """Return the row of a statement that changed a single one, as most do.

    It is neither counted nor put together with others, and what would cut it is not even looked up.
    """
    sides = SIDES[operation]
    made = [
        f"(select to_json(changed.*) as monohull_json from {TRANSITION_TABLES[side]} as changed "  # noqa: S608 quoted
        f"where {has_plain_types(table)} offset 0) as {side}"
        for side in sides
    ]
    small = [
        f"octet_length({side}.monohull_json::text) <= {MAX_ROW_BYTES} "
        f"and strpos({side}.monohull_json::text, {_ESCAPE}) = 0"
        for side in sides
    ]
    rows, old_rows = (
        f"array[{_visible(table, f'{side}.monohull_json')}]" if side in sides else "null::json[]"
        for side in ("new", "old")
    )
    return (
        f"(select 1 as events, {rows} as rows, {old_rows} as old_rows, null::text[] as watchers "  # noqa: S608 quoted
        f"from {' cross join '.join(made)} where {' and '.join(small)} "
        f"and not exists (select from {TRANSITION_TABLES[sides[0]]} offset 1))"
    )


def _all(table: WatchedTable, operation: str, *, is_gated: bool) -> str:
    """Return all rows; those before and after an update are paired by their place in the arrays.

    Behind a gate there are no more than one too many, and ``is_whole`` says whether they are all, and small:
    to count them first would take a small statement as long as to write them.
    """
    sides = SIDES[operation]
    gate = f" where {has_plain_types(table)} limit {MOST_ROWS + 1}" if is_gated else " offset 0"
    record = _record(table, "made.monohull_json", f" and strpos(made.monohull_json::text, {_ESCAPE}) = 0")
    size = "sum(octet_length(made.monohull_json::text))"
    parts = [
        f"(select count(*) as events, {size} as bytes, array_agg({record}) as rows from ("  # noqa: S608 quoted
        f"select to_json(changed.*) as monohull_json from {TRANSITION_TABLES[side]} as changed{gate}"
        f") as made) as {side}_side"
        for side in sides
    ]
    rows, old_rows = (f"{side}_side.rows" if side in sides else "null::json[]" for side in ("new", "old"))
    first = f"{sides[0]}_side"
    whole = are_few(f"{first}.events", " + ".join(f"{side}_side.bytes" for side in sides))
    columns = f"{first}.events, {whole} as is_whole, {rows} as rows, {old_rows} as old_rows"
    return f"(select {columns}, null::text[] as watchers from {' cross join '.join(parts)})"  # noqa: S608 quoted


def has_plain_types(table: WatchedTable) -> str:
    """Return whether all columns are of types that came with PostgreSQL, as others are looked at closely.

    The planner finds it out, as it takes the function to be immutable, and again when the table was altered:
    a plan that reads its rows, or names it as a constant, is void then. A function that was restored with
    another database may have the number of another table in it.
    """
    return f"(facts.relation = {table.oid} and monohull.has_plain_types('{table.oid}'::regclass))"


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


def _record(table: WatchedTable, json: str, also: str = "") -> str:
    """Return a row as it is told."""
    return (
        f"case when octet_length({json}::text) <= {MAX_ROW_BYTES}{also} then {_visible(table, json)} "
        f"else monohull.told_row({json}, {array(table.hidden)}, {array(table.keys)}, {MAX_ROW_BYTES}) end"
    )


def _visible(table: WatchedTable, json: str) -> str:
    """Return a row without the values of secret columns."""
    return f"monohull.without_hidden({json}, {array(table.hidden)})" if table.hidden else json


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
