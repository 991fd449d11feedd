"""What Structs of settings declare: the names of variables, and the words for the reference."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, get_type_hints

import msgspec
from msgspec import Meta, Struct

from monohull.kernel.settings.conversion import allowed
from monohull.kernel.settings.faults import SettingsError, SettingsFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from msgspec.structs import FieldInfo

PREFIX: Final = "MONOHULL_"


class Described(Struct, frozen=True):
    """One variable, in words.

    Attributes:
        variable: Its full name.
        takes: What is allowed, as errors say it.
        default: As one would set it; None when there is none.
        description: The sentence of the field's `Meta`; empty when it has none.
    """

    variable: str
    takes: str
    default: str | None
    description: str


def variable_name(shape: type[Struct], field: str) -> str:
    """Return the environment variable that holds ``field`` of ``shape``."""
    prefix: str = vars(shape)["prefix"]
    return f"{PREFIX}{prefix}{field.upper()}"


@cache
def fields(shape: type[Struct]) -> tuple[FieldInfo, ...]:
    """Return the fields of ``shape``, which several checks ask for at each start."""
    return msgspec.structs.fields(shape)


def variables(shape: type[Struct]) -> Iterator[str]:
    """Return the name of each variable of ``shape``."""
    return (variable_name(shape, field.name) for field in fields(shape))


def describe(*shapes: type[Struct]) -> Iterator[Described]:
    """Say of every variable what the reference needs, in the order of declaration."""
    for shape in shapes:
        hints = get_type_hints(shape, include_extras=True)
        for field in fields(shape):
            hint = hints[field.name]
            yield Described(variable_name(shape, field.name), allowed(hint), _default(field), _sentence(hint))


def check_declarations(shapes: Iterable[type[Struct]]) -> None:
    """Refuse Structs that claim the same variable, or one that could not be told from a file's.

    Raises:
        SettingsError: Naming variable and Structs; the modules are at fault, not the configuration.
    """
    owners: dict[str, type[Struct]] = {}
    faults: list[SettingsFault] = []
    for shape in shapes:
        for name in variables(shape):
            owner = owners.setdefault(name, shape)
            if owner is not shape:
                both = f"{owner.__module__} and {shape.__module__}"
                faults.append(SettingsFault(name, both, "both declare it; a prefix belongs to one module"))
            if name.endswith("_FILE"):
                faults.append(
                    SettingsFault(name, shape.__module__, "_FILE names the file that holds a value")
                )
    if faults:
        raise SettingsError(faults)


def _default(field: FieldInfo) -> str | None:
    value: Any = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if value is None or value is msgspec.NODEFAULT or value == ():
        return None
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _sentence(hint: Any) -> str:
    found = (meta.description for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, Meta))
    return next((text for text in found if text), "")
