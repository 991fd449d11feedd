"""Watches of a table → the trigger function that writes its row events, and the triggers that call it.

Triggers are called once a statement and read all rows that it changed from
transition tables. Rows of a partitioned table and of its partitions may come by
either name, which only triggers called once a row see, so there those stand.

Rows before and after an update are paired by their order: both transition
tables are filled by the same call, row by row, also when a row moves to another
partition or changes its key.

Columns are found when the trigger runs, so that a table may be altered without
its writers noticing; a condition that no longer fits lets everything pass.

The triggers run as the owner of the platform's schema, over rows of tables of
others. Making JSON of a value runs the cast to JSON of its type, which whoever
made the type may have written; so a row with values of such types is made into
JSON column by column, and these as their output functions write them. No
condition is asked of such rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

OPERATIONS: Final = ("INSERT", "UPDATE", "DELETE")
MAX_ROW_BYTES: Final = 1024 * 1024
"""A row that is larger as JSON has the sizes of its large values in their place."""

_EVENT_NAMES: Final = {"INSERT": "rows.inserted", "UPDATE": "rows.updated", "DELETE": "rows.deleted"}
_SIDES: Final = {"INSERT": ("new",), "UPDATE": ("new", "old"), "DELETE": ("old",)}
_TABLES: Final = {"new": "inserted", "old": "deleted"}
_BY_COLUMN: Final = "\0row"


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
    """Return the body of the trigger function, between its dollar quotes.

    What it declares is named with its label, for a table may have a column of any name.
    """
    branches = [
        f"    if tg_op = '{operation}' then\n{_branch(table, operation, wanted)}    end if;\n"
        for operation in OPERATIONS
        if (wanted := [watch for watch in watches if operation in watch.operations])
    ]
    return (
        f"\n#variable_conflict use_column\n<<facts>>\n{_declared(table, watches)}begin\n"
        f"{_row_variables(table)}{''.join(branches)}    return null;\nend\n"
    )


def _declared(table: WatchedTable, watches: Sequence[Watch]) -> str:
    lines = [
        "schema_name constant text := tg_table_schema;",
        "table_name constant text := tg_table_name;",
        "by_column constant text := monohull.json_by_column(tg_relid);",
        "written bigint;",
    ]
    if table.by_row:
        lines += ["new_json json;", "old_json json;"]
    if conditional := _conditional(watches):
        may_ask = "not monohull.has_foreign_types(tg_relid, true)" if table.by_row else "by_column is null"
        lines.append(f"may_ask constant boolean := {may_ask};")
        lines += [f"passed_{number} bigint[];" for number in range(len(conditional))]
    return "declare\n" + "".join(f"    {line}\n" for line in lines)


def _conditional(watches: Iterable[Watch]) -> list[Watch]:
    return [watch for watch in watches if watch.condition is not None]


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
    made = "execute 'select ' || facts.by_column || ' from (select ($1).*) as changed'"
    return "".join(
        f"    if tg_op <> '{without}' then\n"
        "        if facts.by_column is null then\n"
        f"            facts.{side}_json := to_json({side});\n"
        "        else\n"
        f"            {made}\n"
        f"                into facts.{side}_json using {side};\n"
        "        end if;\n"
        f"        facts.{side}_json := {_clean(f'facts.{side}_json')};\n    end if;\n"
        for without, side in (("DELETE", "new"), ("INSERT", "old"))
    )


def _branch(table: WatchedTable, operation: str, watches: Sequence[Watch]) -> str:
    conditional = _conditional(watches)
    without = [msgspec.structs.replace(watch, condition=None) for watch in watches]
    if not conditional and table.by_row:
        return _written(_insert(table, operation, watches))
    unasked = (
        _written(_insert(table, operation, without))
        if table.by_row
        else _by_column(table, operation, without)
    )
    if not conditional:
        plain = _written(_insert(table, operation, watches))
        return f"        if facts.by_column is null then\n{plain}        else\n{unasked}        end if;\n"
    asked = _written(_insert(table, operation, watches, is_asked=True))
    return (
        f"        if facts.may_ask then\n        begin\n{asked}"
        f"        exception when others then\n{_one_at_a_time(table, operation, watches)}        end;\n"
        "        else\n"
        "            raise warning 'rows of %.% have values of types that are somebody else''s, "
        "and are told whatever the conditions say', facts.schema_name, facts.table_name;\n"
        f"{unasked}        end if;\n"
    )


def _written(statement: str) -> str:
    """Return a statement that writes events, and what has them relayed."""
    return (
        f"{statement}        get diagnostics facts.written = row_count;\n"
        "        if facts.written > 0 then\n            perform pg_notify('monohull_outbox', '');\n"
        "        end if;\n"
    )


def _by_column(table: WatchedTable, operation: str, watches: Sequence[Watch]) -> str:
    """Return what writes events of rows that are made into JSON column by column.

    Which columns there are is known when it runs, so the statement is put together then.
    """
    statement = _insert(table, operation, watches, row=_BY_COLUMN)
    text = " || facts.by_column || ".join(literal(part) for part in statement.split(_BY_COLUMN))
    return _written(f"        execute {text}\n            using facts.schema_name, facts.table_name;\n")


def _one_at_a_time(table: WatchedTable, operation: str, watches: Sequence[Watch]) -> str:
    """Return what asks the conditions one by one, so that one which fails lets pass for its watcher alone."""
    side = _SIDES[operation][0]
    nth = "1::bigint" if table.by_row else f"{side}.monohull_nth"
    source = _source(table, operation, is_asked=True, is_numbered=True)
    tests, left = "", [watch for watch in watches if watch.condition is None]
    for number, watch in enumerate(_conditional(watches)):
        passed = f"facts.passed_{number}"
        asked = f"select coalesce(array_agg({nth}), '{{}}') into {passed} from {source}"  # noqa: S608 quoted
        tests += (
            f"            {passed} := null;\n            begin\n"
            f"                {asked} where ({watch.condition});\n"
            "            exception when others then\n"
            "                raise warning 'a condition on rows of %.% fails (SQLSTATE %), "
            "and % is told of all', "
            f"facts.schema_name, facts.table_name, sqlstate, {literal(watch.watcher)};\n            end;\n"
        )
        held = f"{passed} <> '{{}}'" if table.by_row else f"{nth} in (select unnest({passed}))"
        left.append(msgspec.structs.replace(watch, condition=f"{passed} is null or {held}"))
    return tests + _written(_insert(table, operation, left, is_numbered=True))


def _insert(  # noqa: PLR0913 what is read, and how
    table: WatchedTable,
    operation: str,
    watches: Sequence[Watch],
    *,
    is_asked: bool = False,
    is_numbered: bool = False,
    row: str | None = None,
) -> str:
    here = _SIDES[operation][0]
    source = _source(table, operation, is_asked=is_asked, is_numbered=is_numbered, row=row)
    if row is not None:
        source += " cross join (select $1 as schema_name, $2 as table_name) as facts"
    lines = (
        "insert into monohull.outbox",
        "    (id, name, version, key, actor, request_id, traceparent, payload, is_audited, watchers)",
        f"select gen_random_uuid(), '{_EVENT_NAMES[operation]}', 1, {_key(table, here)}, cause.actor,",
        f"    cause.request_id, cause.traceparent, {_payload(table, operation)}, false, for_whom.watchers",
        f"from {source}",
        "cross join monohull.row_cause() as cause",
        f"cross join lateral (select {_watchers(operation, watches)} as watchers) as for_whom",
        f"where for_whom.watchers <> '{{}}'{_order(table, operation)};",
    )
    return "".join(f"        {line}\n" for line in lines)


def _order(table: WatchedTable, operation: str) -> str:
    return " order by new.monohull_nth" if operation == "UPDATE" and not table.by_row else ""


def _source(
    table: WatchedTable, operation: str, *, is_asked: bool, is_numbered: bool, row: str | None = None
) -> str:
    """Return the rows as ``new`` and ``old``, with their columns where a condition asks for them."""
    sides = _SIDES[operation]
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
    source = f"from {_TABLES[side]} as changed offset 0"
    made = f"(select {row or 'to_json(changed.*)'} as monohull_raw{nth}{columns} {source})"
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
    prefix = "facts.schema_name || '.' || facts.table_name || ':' || "
    if table.by_row:
        prefix = f"{literal(f'{table.root_schema}.{table.root_table}:')} || "
    return prefix + values


def _payload(table: WatchedTable, operation: str) -> str:
    sides = _SIDES[operation]
    too_large = " or ".join(f"octet_length({s}.monohull_json::text) > {MAX_ROW_BYTES}" for s in sides)
    whole, cut = (_object(table, operation, is_cut=is_cut) for is_cut in (False, True))
    return f"case when {too_large} then {cut} else {whole} end"


def _object(table: WatchedTable, operation: str, *, is_cut: bool) -> str:
    name = "facts.schema_name, 'table', facts.table_name"
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
