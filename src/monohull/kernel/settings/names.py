"""Names beyond the declared ones: a setting's other name, and what is known and changes nothing here.

A configuration that was written for the product whose wire we speak should
start. A Struct says so with two class variables, both without ``MONOHULL_``:
``other_names`` leads from the other name to the field, ``without_effect`` lists
what has nothing to act on here. Anything that would make the original stricter
does not belong there: it has to stop the start, as every unknown name does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monohull.kernel.settings.declaration import PREFIX, variable_name
from monohull.kernel.settings.faults import SettingsFault, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from msgspec import Struct


def under_own_names(
    shapes: Iterable[type[Struct]], values: Mapping[str, Value]
) -> tuple[dict[str, Value], list[SettingsFault]]:
    """Put what was given under another name under the setting's own; both at once is a fault."""
    found = dict(values)
    faults: list[SettingsFault] = []
    for shape in shapes:
        others: Mapping[str, str] = vars(shape).get("other_names", {})
        for other, field in others.items():
            name, own = f"{PREFIX}{other}", variable_name(shape, field)
            if name not in found:
                continue
            value = found.pop(name)
            if own in found:
                message = f"it is another name of {own}, which is set too; set one of the two"
                faults.append(SettingsFault(name, value.source, message))
            found[own] = value
    return found, faults


def without_effect(shapes: Iterable[type[Struct]]) -> frozenset[str]:
    """Return the full names that are accepted and change nothing."""
    return frozenset(f"{PREFIX}{name}" for shape in shapes for name in vars(shape).get("without_effect", ()))
