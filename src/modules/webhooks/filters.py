"""Conditions on the fields of an event's payload: all of them have to hold.

A field is a path such as ``record.status``; what is not there compares to nothing, so that every
condition but ``ne`` and ``exists: false`` fails on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from modules.webhooks.dtos import Condition

_ABSENT: Final = object()


def holds(conditions: Iterable[Condition], payload: Any) -> bool:
    """Say whether all conditions hold for a payload.

    >>> from modules.webhooks.dtos import Condition
    >>> paid = Condition(field="record.status", op="eq", value="paid")
    >>> holds([paid], {"record": {"status": "paid"}}), holds([paid], {"record": None})
    (True, False)
    """
    return all(_holds(condition, payload) for condition in conditions)


def _holds(condition: Condition, payload: Any) -> bool:
    found = _find(payload, condition.field)
    if condition.op == "exists":
        return (found is not _ABSENT) is bool(condition.value)
    if condition.op == "ne":
        return found is _ABSENT or not _same(found, condition.value)
    return found is not _ABSENT and _COMPARE[condition.op](found, condition.value)


def _find(payload: Any, path: str) -> Any:
    value = payload
    for name in path.split("."):
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isascii() and name.isdigit() and int(name[:9]) < len(value):
            value = value[int(name[:9])]
        else:
            return _ABSENT
    return value


def _same(left: Any, right: Any) -> bool:
    """Compare as JSON does: ``true`` is not 1."""
    return bool(left == right) and isinstance(left, bool) is isinstance(right, bool)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def holds_(left: Any, right: Any) -> bool:
        numbers = _is_number(left) and _is_number(right)
        return (numbers or (isinstance(left, str) and isinstance(right, str))) and compare(left, right)

    return holds_


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": _same,
    "in": lambda found, values: any(_same(found, value) for value in values),
    "gt": _ordered(lambda left, right: left > right),
    "gte": _ordered(lambda left, right: left >= right),
    "lt": _ordered(lambda left, right: left < right),
    "lte": _ordered(lambda left, right: left <= right),
    "starts_with": lambda found, value: isinstance(found, str) and found.startswith(value),
}
