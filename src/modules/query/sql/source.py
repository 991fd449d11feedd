"""What stands in FROM: relations, rows at hand, computed relationships, calls."""

# writing SQL is what this file is for; values are parameters and names are quoted
# ruff: noqa: S608
from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.query.sql.fragment import identifier, parameter, qualified, qualifier

if TYPE_CHECKING:
    from modules.query.plan.model import Called, Source
    from modules.query.routines import Parameter

ARGUMENTS: Final = "_arguments"
"""The body of a call, taken apart."""

SCALAR: Final = "pgrst_scalar"
"""The column that the value of a function is in; PostgREST's name, which is seen in CSV and in errors."""


def relation(source: Source) -> str:
    """Write a source as FROM wants it."""
    name = identifier(source.alias or source.key[1])
    if source.computed is not None:
        function = qualified(source.computed.function)
        return f"{function}({row(source.computed.parent)}) AS {name}"
    if source.called is not None:
        return f"{_call(source.called)} AS {name}"
    if source.rows is not None:
        return f"{identifier(source.rows)} AS {name}"
    return qualified(source.key) if source.alias is None else f"{qualified(source.key)} AS {name}"


def row(source: Source) -> str:
    """Write a whole row of a source, of its relation's own type whatever stands in for it."""
    return f"({qualifier(source)}.*)::{qualified(source.key)}"


def _call(called: Called) -> str:
    arguments = ", ".join(_argument(called, one, slots) for one, slots in called.parameters)
    text = f"{qualified(called.function)}({arguments})"
    names = [(one, slots) for one, slots in called.parameters if one.name and not slots]
    if not called.is_row:
        # OFFSET keeps it a query of its own: pulled up, a call that is not volatile runs at each mention
        text = f"(SELECT {text} AS {SCALAR} OFFSET 0)"
    if called.body is None or not names:
        return text
    return f"{_body(called, [one for one, _ in names])} CROSS JOIN LATERAL {text}"


def _argument(called: Called, taken: Parameter, slots: tuple[int, ...]) -> str:
    if not taken.name:
        assert called.body is not None
        return f"{parameter(called.body)}::{taken.type}"
    name = identifier(taken.name)
    if taken.is_variadic and slots:
        values = ", ".join(parameter(slot) for slot in slots)
        return f"VARIADIC {name} := ARRAY[{values}]::{taken.cast}"
    value = f"{parameter(slots[0])}::{taken.cast}" if slots else f"{ARGUMENTS}.{name}"
    return f"{'VARIADIC ' if taken.is_variadic else ''}{name} := {value}"


def _body(called: Called, taken: list[Parameter]) -> str:
    assert called.body is not None
    columns = ", ".join(f"{identifier(one.name)} {one.cast}" for one in taken)
    document = f"{parameter(called.body)}::json"
    if not called.is_list:
        return f"json_to_record({document}) AS {ARGUMENTS}({columns})"
    return f"(SELECT * FROM json_to_recordset({document}) AS _({columns}) LIMIT 1) AS {ARGUMENTS}"
