"""States of a row that policies look at beside whose it is: active or not, draft or published.

Without them a policy ``using (is_active)`` could be widened to everything and no cell would
change, for every row that is made is active.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from modules.policy_tests.expressions import literals, mentioned
from modules.policy_tests.project import as_text
from monohull.kernel.clock import now

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from modules.policy_tests.catalog import Column, Table
    from modules.policy_tests.project import DeclaredTable

    Values = Mapping[str, str | None]

MOST: Final = 8
FAR: Final = timedelta(days=3650)


def variants(
    table: Table, values: Values, carriers: Sequence[str], declared: DeclaredTable
) -> dict[str, dict[str, str | None]]:
    """Return what to change in a row of ``values``, by what the matrix calls the state.

    The project's own come first; then each column that the table's policies read and that says
    nothing of whose the row is.
    """
    found: dict[str, dict[str, str | None]] = {
        name: {column: as_text(value) for column, value in changes.items()}
        for name, changes in sorted(declared.variants.items())
    }
    read = {name for policy in table.policies for name in policy.columns}
    for name, column in table.columns.items():
        if name not in read or name in carriers or name in table.key or column.is_generated:
            continue
        for label, value in _states(table, column, values.get(name)):
            if len(found) < MOST + len(declared.variants):
                found.setdefault(f"{name} {label}", {name: value})
    return found


def _states(table: Table, column: Column, current: str | None) -> Iterator[tuple[str, str | None]]:
    if column.category == "B":
        for value in ("true", "false"):
            if value != current:
                yield f"= {value}", value
    elif column.category == "D":
        yield "in the past", (now() - FAR).isoformat()
        yield "in the future", (now() + FAR).isoformat()
    else:
        yield from ((f"= {value}", value) for value in _others(table, column) if value != current)
    if column.is_nullable and current is not None:
        yield "is null", None


def _others(table: Table, column: Column) -> list[str]:
    """Values that a policy mentions, and one that none does."""
    spoken_of = [
        text
        for policy in table.policies
        if column.name in policy.columns
        for expression in policy.expressions
        for text in mentioned(expression)
    ]
    if column.labels:
        return list(column.labels)
    if column.category == "N":
        numbers = [int(text) for text in spoken_of if text.lstrip("-").isdigit()]
        return [str(number) for level in numbers for number in (level - 1, level, level + 1)]
    if column.category != "S":
        return []
    allowed = [
        text
        for check in table.checks
        if check.columns == (column.name,) and "~" not in check.expression
        for text in literals(check.expression)
        if not text.isdigit()
    ]
    known = [text for text in spoken_of if not allowed or text in allowed]
    return [*known, *[text for text in allowed if text not in spoken_of][:1]]
