"""Watches of a table → the trigger function that writes down what changes, and the triggers that call it.

Triggers are called once a statement and read all rows that it changed from
transition tables. Rows of a partitioned table and of its partitions may come by
either name, which only triggers called once a row see, so there those stand.
What they write is in `row_inserts`; the relay makes events of it.

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

from monohull.kernel.row_inserts import (
    BY_COLUMN,
    FACTS,
    are_few,
    bytes_of,
    counted,
    has_plain_types,
    insert,
    is_tested,
    readable,
    source_of,
)
from monohull.kernel.row_watching import OPERATIONS, SIDES, TRANSITION_TABLES, literal
from monohull.kernel.vigil import RELAY_SLEEPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from monohull.kernel.row_watching import Watch, WatchedTable

_CLAIMS: Final = "current_setting('request.jwt.claims', true)"
_ORIGIN: Final = "nullif(current_setting('monohull.origin', true), '')::json"
_IS_NAMED: Final = (
    "current_setting('monohull.origin', true) <> '' "
    f"or strpos(replace({_CLAIMS}, {literal(chr(92))}, '\"sub\"'), '\"sub\"') > 0"
)
"""Whether somebody may be known on whose behalf it is: by an origin, or by claims that name a subject, or
hold an escape that might spell it."""
_CAUSE: Final = (
    "            begin\n"  # noqa: S608 settings, by name
    f"                facts.request_id := {_ORIGIN} ->> 'request_id';\n"
    f"                facts.traceparent := {_ORIGIN} ->> 'traceparent';\n"
    f"                facts.actor := nullif({_CLAIMS}, '')::json ->> 'sub';\n"
    "            exception when others then\n"
    "                select cause.actor, cause.request_id, cause.traceparent\n"
    "                    into facts.actor, facts.request_id, facts.traceparent\n"
    "                    from monohull.row_cause() as cause;\n"
    "            end;\n"
)
"""Where one of them is no JSON, `row_cause` takes what can be read."""
_WAKE: Final = "        perform pg_notify('monohull_outbox', '');\n"
_COUNT: Final = "        get diagnostics facts.written = row_count;\n"


def function_body(table: WatchedTable, watches: Sequence[Watch]) -> str:
    """Return the body of the trigger function, between its dollar quotes.

    What it declares is named with its label, for a table may have a column of any name.
    """
    wanted = _by_operation(watches)
    branches = _branches({one: _branch(table, one, those) for one, those in wanted.items()})
    plain = _branches(
        {
            one: insert(table, one, those, is_small=True, is_named=False)
            for one, those in wanted.items()
            if _may_be_plain(table, one, those)
        }
    )
    is_named = "not call.is_plain" if plain else _IS_NAMED
    general = (
        f"<<facts>>\n{_declared(table, watches)}begin\n"
        f"    if {is_named} then\n{_CAUSE}    end if;\n{_row_variables(table, watches)}{branches}"
        f"    if facts.written > 0 and {RELAY_SLEEPS} then\n{_WAKE}    end if;\n    return null;\nend"
    )
    if not plain:
        return f"\n#variable_conflict use_column\n{general}\n"
    return (
        "\n#variable_conflict use_column\n<<call>>\ndeclare\n"
        f"    is_plain constant boolean := tg_relid = {table.oid} and ({_IS_NAMED}) is not true;\nbegin\n"
        f"    if call.is_plain then\n{plain}"
        f"        if found then\n            if {RELAY_SLEEPS} then\n{_WAKE}            end if;\n"
        f"            return null;\n        end if;\n    end if;\n{general};\nend\n"
    )


def _by_operation(watches: Sequence[Watch]) -> dict[str, list[Watch]]:
    return {
        operation: wanted
        for operation in OPERATIONS
        if (wanted := [watch for watch in watches if operation in watch.operations])
    }


def _branches(statements: Mapping[str, str]) -> str:
    """Return what does for each operation what has to be done."""
    return "".join(
        f"    {'els' if number else ''}if tg_op = '{operation}' then\n{statement}"
        for number, (operation, statement) in enumerate(statements.items())
    ) + ("    end if;\n" if statements else "")


def _may_be_plain(table: WatchedTable, operation: str, watches: Sequence[Watch]) -> bool:
    """Whether most statements need no variable: nobody is named, nothing is asked, and the rows are few.

    They are written before the block in which the others are dealt with, and none of its variables is set.
    """
    return not (table.by_row or _conditional(watches) or is_tested(operation, watches))


def _declared(table: WatchedTable, watches: Sequence[Watch]) -> str:
    lines = [
        "schema_name constant text := tg_table_schema;",
        "table_name constant text := tg_table_name;",
        "relation constant oid := tg_relid;",
        f"is_special boolean{f' := {_special(table)}' if table.by_row else ''};",
        "by_column text;",
        "actor text;",
        "request_id text;",
        "traceparent text;",
        "written bigint := 0;",
    ]
    lines += ["new_json json;", "old_json json;"] if table.by_row else ["events bigint;", "bytes bigint;"]
    if conditional := _conditional(watches):
        lines.append("may_ask boolean := true;")
        lines += [f"passed_{number} bigint[];" for number in range(len(conditional))]
    return "declare\n" + "".join(f"    {line}\n" for line in lines)


def _special(table: WatchedTable) -> str:
    """Return whether a row of the table, or of a partition of it, has to be looked at closely."""
    asked = (
        f"facts.relation <> {table.oid} and exists (select from pg_catalog.pg_attribute as a "
        "where a.attrelid = facts.relation and a.attnum > 0 and not a.attisdropped and a.atttypid >= 16384)"
    )
    return f"not monohull.has_plain_types('{table.oid}'::regclass) or {asked}"


def _looked_at(table: WatchedTable, watches: Sequence[Watch]) -> str:
    """Return what finds out how rows may be made into JSON, and whether they may be asked about."""
    may_ask = (
        "not monohull.has_foreign_types(facts.relation, true)" if table.by_row else "facts.by_column is null"
    )
    asking = f"            facts.may_ask := {may_ask};\n" if _conditional(watches) else ""
    return (
        "        if facts.is_special then\n"
        "            facts.by_column := monohull.json_by_column(facts.relation);\n"
        f"{asking}        end if;\n"
    )


def _counted(table: WatchedTable, operation: str, watches: Sequence[Watch]) -> str:
    """Return what counts the rows of a statement."""
    return (
        f"        select count(*), {bytes_of(operation)}, not {has_plain_types(table)}\n"  # noqa: S608 our own names
        f"            into facts.events, facts.bytes, facts.is_special from {counted(operation)};\n"
        "        if facts.events = 0 then\n            return null;\n        end if;\n"
        f"{_looked_at(table, watches)}"
    )


def _conditional(watches: Iterable[Watch]) -> list[Watch]:
    return [watch for watch in watches if watch.condition is not None]


def trigger_statements(table: WatchedTable, watches: Iterable[Watch]) -> dict[str, str]:
    """Return what makes each trigger that has to be there, by its name."""
    wanted = {operation for watch in watches for operation in watch.operations}
    operations = [operation for operation in OPERATIONS if operation in wanted]
    if table.by_row:
        # Partitions get a copy of it under the same name, and may be watched themselves.
        name = "_".join(("monohull_rows", str(table.oid), *(one.lower() for one in operations)))
        return {
            name: f"create trigger {name} after {' or '.join(operations)} on {table.name} "
            f"for each row execute function {table.function}()"
        }
    return dict(_by_statement(table, operations))


def _by_statement(table: WatchedTable, operations: Iterable[str]) -> Iterator[tuple[str, str]]:
    for operation in operations:
        name = f"monohull_rows_each_{operation.lower()}"
        referencing = " ".join(f"{side} table as {TRANSITION_TABLES[side]}" for side in SIDES[operation])
        statement = (
            f"create trigger {name} after {operation} on {table.name} referencing {referencing} "
            f"for each statement execute function {table.function}()"
        )
        yield name, statement


def _row_variables(table: WatchedTable, watches: Sequence[Watch]) -> str:
    if not table.by_row:
        return ""
    made = "execute 'select ' || facts.by_column || ' from (select ($1).*) as changed'"
    return _looked_at(table, watches) + "".join(
        f"    if tg_op <> '{without}' then\n"
        "        if facts.by_column is null then\n"
        f"            facts.{side}_json := to_json({side});\n"
        "        else\n"
        f"            {made}\n"
        f"                into facts.{side}_json using {side};\n"
        "        end if;\n"
        f"        facts.{side}_json := {readable(f'facts.{side}_json')};\n    end if;\n"
        for without, side in (("DELETE", "new"), ("INSERT", "old"))
    )


def _branch(table: WatchedTable, operation: str, watches: Sequence[Watch]) -> str:
    if table.by_row:
        return _row_branch(table, operation, watches)
    count = _counted(table, operation, watches)
    conditional = _conditional(watches)
    without = [msgspec.structs.replace(watch, condition=None) for watch in watches]
    by_column = _by_column(table, operation, without)
    if not conditional:
        written = _written(table, operation, watches)
        general = (
            f"{count}        if facts.by_column is null then\n{written}"
            f"        else\n{by_column}        end if;\n"
        )
        if not _may_be_plain(table, operation, watches):
            return general
        few = insert(table, operation, watches, is_small=True) + _COUNT
        return (
            f"        if not call.is_plain then\n{few}        end if;\n"
            f"        if facts.written = 0 then\n{general}        end if;\n"
        )
    asked = _written(table, operation, watches, is_asked=True)
    return count + _asked(asked, _one_at_a_time(table, operation, watches), by_column)


def _row_branch(table: WatchedTable, operation: str, watches: Sequence[Watch]) -> str:
    if not _conditional(watches):
        return insert(table, operation, watches) + _COUNT
    asked = insert(table, operation, watches, is_asked=True) + _COUNT
    without = [msgspec.structs.replace(watch, condition=None) for watch in watches]
    unasked = insert(table, operation, without) + _COUNT
    return _asked(asked, _one_at_a_time(table, operation, watches), unasked)


def _asked(asked: str, one_at_a_time: str, unasked: str) -> str:
    """Return what asks conditions: each by itself if one fails, none if that ran somebody else's code."""
    return (
        f"        if facts.may_ask then\n        begin\n{asked}"
        f"        exception when others then\n{one_at_a_time}        end;\n"
        "        else\n"
        "            raise warning 'rows of %.% have values of types that are somebody else''s, "
        "and are told whatever the conditions say', facts.schema_name, facts.table_name;\n"
        f"{unasked}        end if;\n"
    )


def _written(table: WatchedTable, operation: str, watches: Sequence[Watch], *, is_asked: bool = False) -> str:
    """Return what writes the rows of a statement: together where they are few and small."""
    together = insert(table, operation, watches, is_asked=is_asked)
    parted = insert(table, operation, watches, is_asked=is_asked, is_parted=True)
    return (
        f"        if {are_few('facts.events', 'facts.bytes')} then\n{together}"
        f"        else\n{parted}        end if;\n{_COUNT}"
    )


def _by_column(table: WatchedTable, operation: str, watches: Sequence[Watch]) -> str:
    """Return what writes rows that are made into JSON column by column.

    Which columns there are is known when it runs, so the statement is put together then.
    """
    statement = insert(table, operation, watches, row=BY_COLUMN, is_parted=True)
    text = " || facts.by_column || ".join(literal(part) for part in statement.split(BY_COLUMN))
    return (
        f"        execute {text}\n            using {', '.join(f'facts.{fact}' for fact in FACTS)};\n{_COUNT}"
    )


def _one_at_a_time(table: WatchedTable, operation: str, watches: Sequence[Watch]) -> str:
    """Return what asks the conditions one by one, so that one which fails lets pass for its watcher alone."""
    side = SIDES[operation][0]
    nth = "1::bigint" if table.by_row else f"{side}.monohull_nth"
    source = source_of(table, operation, is_asked=True, is_numbered=True)
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
    return tests + insert(table, operation, left, is_numbered=True, is_parted=not table.by_row) + _COUNT
