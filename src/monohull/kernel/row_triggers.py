"""Watches of a table → the trigger function that writes its row events, and the triggers that call it.

Triggers are called once a statement and read all rows that it changed from
transition tables. Rows of a partitioned table and of its partitions may come by
either name, which only triggers called once a row see, so there those stand.

Rows before and after an update are paired by their order: both transition
tables are filled by the same call, row by row, also when a row moves to another
partition or changes its key.

Columns are found when the trigger runs, so that a table may be altered without
its writers noticing; a condition that no longer fits lets everything pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

OPERATIONS: Final = ("INSERT", "UPDATE", "DELETE")
MAX_ROW_BYTES: Final = 1024 * 1024
"""A row that is larger as JSON has the sizes of its large values in their place."""

_EVENT_NAMES: Final = {"INSERT": "rows.inserted", "UPDATE": "rows.updated", "DELETE": "rows.deleted"}
_SIDES: Final = {"INSERT": ("new",), "UPDATE": ("new", "old"), "DELETE": ("old",)}
_TABLES: Final = {"new": "inserted", "old": "deleted"}


class Watch(Struct, frozen=True, kw_only=True):
    """What one watcher wants of a table; names as in ``monohull.row_watches``, the condition as deparsed."""

    watcher: str
    operations: tuple[str, ...]
    columns: tuple[str, ...] | None = None
    condition: str | None = None


class WatchedTable(Struct, frozen=True, kw_only=True):
    """A table as its trigger function needs it.

    Attributes:
        oid: The number in its function's name.
        name: Quoted, with the schema.
        root_schema: Schema of the partitioned table that it belongs to, else its own.
        root_table: That table's name, else its own.
        keys: Columns of the primary key in order.
        hidden: Columns whose values are not told.
        by_row: Whether triggers have to be called for each row.
    """

    oid: int
    name: str
    root_schema: str
    root_table: str
    keys: tuple[str, ...]
    hidden: tuple[str, ...]
    by_row: bool

    @property
    def function(self) -> str:
        return f"monohull.row_events_{self.oid}"


def literal(value: str) -> str:
    r"""Return ``value`` as an SQL literal, whatever ``standard_conforming_strings`` says.

    >>> literal("it's"), literal("a\\b")
    ("'it''s'", "E'a\\\\b'")
    """
    quoted = value.replace("'", "''")
    return f"'{quoted}'" if "\\" not in value else "E'" + quoted.replace("\\", "\\\\") + "'"


def function_body(table: WatchedTable, watches: Sequence[Watch]) -> str:
    """Return the body of the trigger function, between its dollar quotes."""
    branches = [
        f"    if tg_op = '{operation}' then\n{_branch(table, operation, wanted)}    end if;\n"
        for operation in OPERATIONS
        if (wanted := [watch for watch in watches if operation in watch.operations])
    ]
    declared = "declare\n    new_json json;\n    old_json json;\n" if table.by_row else ""
    return (
        f"\n#variable_conflict use_column\n{declared}begin\n{_row_variables(table)}{''.join(branches)}"
        "    return null;\nend\n"
    )


def trigger_statements(table: WatchedTable, watches: Iterable[Watch]) -> dict[str, str]:
    """Return what makes each trigger that has to be there, by its name."""
    wanted = {operation for watch in watches for operation in watch.operations}
    operations = [operation for operation in OPERATIONS if operation in wanted]
    if table.by_row:
        name = "monohull_rows_" + "_".join(operation.lower() for operation in operations)
        return {
            name: f"create trigger {name} after {' or '.join(operations)} on {table.name} "
            f"for each row execute function {table.function}()"
        }
    return dict(_by_statement(table, operations))


def _by_statement(table: WatchedTable, operations: Iterable[str]) -> Iterator[tuple[str, str]]:
    for operation in operations:
        name = f"monohull_rows_each_{operation.lower()}"
        referencing = " ".join(f"{side} table as {_TABLES[side]}" for side in _SIDES[operation])
        statement = (
            f"create trigger {name} after {operation} on {table.name} referencing {referencing} "
            f"for each statement execute function {table.function}()"
        )
        yield name, statement


def _row_variables(table: WatchedTable) -> str:
    if not table.by_row:
        return ""
    return "".join(
        f"    if tg_op <> '{without}' then\n        {side}_json := to_json({side});\n"
        f"        {side}_json := {_clean(f'{side}_json')};\n    end if;\n"
        for without, side in (("DELETE", "new"), ("INSERT", "old"))
    )


def _branch(table: WatchedTable, operation: str, watches: Sequence[Watch]) -> str:
    told = "        if found then\n            perform pg_notify('monohull_outbox', '');\n        end if;\n"
    if all(watch.condition is None for watch in watches):
        return _insert(table, operation, watches) + told
    without = [Watch(watcher=w.watcher, operations=w.operations, columns=w.columns) for w in watches]
    return (
        f"        begin\n{_insert(table, operation, watches)}{told}"
        "        exception when others then\n"
        "            raise warning 'a condition on rows of % fails, and all of them are told: %', "
        f"tg_table_name, sqlerrm;\n{_insert(table, operation, without)}{told}        end;\n"
    )


def _insert(table: WatchedTable, operation: str, watches: Sequence[Watch]) -> str:
    here = _SIDES[operation][0]
    lines = (
        "insert into monohull.outbox",
        "    (id, name, version, key, actor, request_id, traceparent, payload, is_audited, watchers)",
        f"select gen_random_uuid(), '{_EVENT_NAMES[operation]}', 1, {_key(table, here)}, cause.actor,",
        f"    cause.request_id, cause.traceparent, {_payload(table, operation)}, false, for_whom.watchers",
        f"from {_source(table, operation, watches)}",
        "cross join monohull.row_cause() as cause",
        f"cross join lateral (select {_watchers(operation, watches)} as watchers) as for_whom",
        f"where for_whom.watchers <> '{{}}'{_order(table, operation)};",
    )
    return "".join(f"        {line}\n" for line in lines)


def _order(table: WatchedTable, operation: str) -> str:
    return " order by new.monohull_nth" if operation == "UPDATE" and not table.by_row else ""


def _source(table: WatchedTable, operation: str, watches: Sequence[Watch]) -> str:
    """Return the rows as ``new`` and ``old``, with their columns where a condition asks for them."""
    is_asked = any(watch.condition is not None for watch in watches)
    sides = _SIDES[operation]
    parts = [_side(table, side, is_asked=is_asked, is_paired=len(sides) > 1) for side in sides]
    if is_asked:
        parts += [
            f"(select (null::{table.name}).*) as {side}" for side in ("new", "old") if side not in sides
        ]
    source = " cross join ".join(parts)
    if len(sides) > 1 and not table.by_row:
        first, second, *_ = parts
        source = f"{first} join {second} on new.monohull_nth = old.monohull_nth"
    return source


def _side(table: WatchedTable, side: str, *, is_asked: bool, is_paired: bool) -> str:
    """Return the rows of one side. ``offset 0`` has them made into JSON once, however often that is used."""
    if table.by_row:
        columns = ", r.*" if is_asked else ""
        record = f" from json_populate_record(null::{table.name}, {side}_json) as r" if is_asked else ""
        return f"(select {side}_json as monohull_json{columns}{record}) as {side}"
    nth = ", row_number() over () as monohull_nth" if is_paired else ""
    columns = ", changed.*" if is_asked else ""
    source = f"from {_TABLES[side]} as changed offset 0"
    made = f"(select to_json(changed) as monohull_raw{nth}{columns} {source})"
    clean = _clean("monohull_raw")
    return f"(select {clean} as monohull_json, made.* from {made} as made offset 0) as {side}"  # noqa: S608 quoted


def _clean(json: str) -> str:
    """Return JSON that PostgreSQL can read: a column of type json may hold what no text can."""
    escape, mark = literal("\\u0000"), literal("\\ufffd")
    replaced = f"replace({json}::text, {escape}, {mark})::json"
    return f"case when strpos({json}::text, {escape}) > 0 then {replaced} else {json} end"


def _key(table: WatchedTable, side: str) -> str:
    if not table.keys or set(table.keys) & set(table.hidden):
        return "null"
    values = " || ',' || ".join(f"({side}.monohull_json ->> {literal(key)})" for key in table.keys)
    prefix = "tg_table_schema || '.' || tg_table_name || ':' || "
    if table.by_row:
        prefix = f"{literal(f'{table.root_schema}.{table.root_table}:')} || "
    return prefix + values


def _payload(table: WatchedTable, operation: str) -> str:
    sides = _SIDES[operation]
    too_large = " or ".join(f"octet_length({s}.monohull_json::text) > {MAX_ROW_BYTES}" for s in sides)
    whole, cut = (_object(table, operation, is_cut=is_cut) for is_cut in (False, True))
    return f"case when {too_large} then {cut} else {whole} end"


def _object(table: WatchedTable, operation: str, *, is_cut: bool) -> str:
    name = "tg_table_schema, 'table', tg_table_name"
    if table.by_row:
        name = f"{literal(table.root_schema)}, 'table', {literal(table.root_table)}"
    records = [
        f"'{field}', {_record(table, side, is_cut=is_cut) if side in _SIDES[operation] else 'null::json'}"
        for field, side in (("record", "new"), ("old_record", "old"))
    ]
    mark = ", 'is_cut', true" if is_cut else ""
    return f"json_build_object('type', '{operation}', 'schema', {name}, {', '.join(records)}{mark})"


def _record(table: WatchedTable, side: str, *, is_cut: bool) -> str:
    record = f"{side}.monohull_json"
    if table.hidden:
        record = f"monohull.without_hidden({record}, {_array(table.hidden)})"
    return f"monohull.cut_row({record})" if is_cut else record


def _watchers(operation: str, watches: Sequence[Watch]) -> str:
    tests = [(watch.watcher, _test(operation, watch)) for watch in watches]
    if all(test is None for _, test in tests):
        return _array(watcher for watcher, _ in tests)
    cases = ", ".join(
        literal(watcher) if test is None else f"case when {test} then {literal(watcher)} end"
        for watcher, test in tests
    )
    return f"array_remove(array[{cases}]::text[], null)"


def _test(operation: str, watch: Watch) -> str | None:
    tests = [] if watch.condition is None else [f"({watch.condition})"]
    if watch.columns is not None and operation == "UPDATE":
        changed = " or ".join(
            f"(new.monohull_json -> {literal(name)})::text is distinct from "
            f"(old.monohull_json -> {literal(name)})::text"
            for name in watch.columns
        )
        tests.append(f"({changed})")
    return " and ".join(tests) or None


def _array(values: Iterable[str]) -> str:
    return f"array[{', '.join(literal(value) for value in values)}]::text[]"
