"""Where values come from: options, environment, files and ``monohull.toml``, under one set of names."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from monohull.kernel.settings.declaration import PREFIX
from monohull.kernel.settings.faults import SettingsError, SettingsFault, Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROJECT_FILE: Final = "monohull.toml"
PROJECT_TABLES: Final = frozenset({"project", "seed", "policies", "schedules"})
"""Tables of ``monohull.toml`` that describe the project and are no settings."""

FOR_SHELLS: Final = frozenset({"MONOHULL_URL"})
"""Printed by ``monohull status --format env``; a shell that took it in may still run commands."""


def collect(
    environ: Mapping[str, str], document: Mapping[str, Any], options: Mapping[str, str]
) -> tuple[dict[str, Value], list[SettingsFault]]:
    """Bring environment, ``monohull.toml`` and command options under one set of names."""
    values, faults = _from_project(document)
    for name, raw in environ.items():
        if not name.startswith(PREFIX) or name in FOR_SHELLS:
            continue
        plain = name.removesuffix("_FILE")
        if plain == name:
            values[name] = Value(raw, "environment")
        elif plain in environ:
            faults.append(SettingsFault(name, "environment", f"{plain} is set too; set one of the two"))
        elif isinstance(found := _from_file(name, raw), Value):
            values[plain] = found
        else:
            faults.append(found)
    values |= {f"{PREFIX}{name.upper()}": Value(raw, f"option --{name}") for name, raw in options.items()}
    return values, faults


def _from_project(document: Mapping[str, Any]) -> tuple[dict[str, Value], list[SettingsFault]]:
    values: dict[str, Value] = {}
    faults: list[SettingsFault] = []
    for name, raw in flatten({key: value for key, value in document.items() if key not in PROJECT_TABLES}):
        variable = f"{PREFIX}{name.upper()}"
        if variable in values:
            faults.append(
                SettingsFault(variable, PROJECT_FILE, "it is set twice, in a table and outside of it")
            )
        values[variable] = Value(raw, PROJECT_FILE)
    return values, faults


def _from_file(name: str, path: str) -> Value | SettingsFault:
    try:
        return Value(Path(path).read_text(encoding="utf-8").rstrip("\r\n"), f"file {path}")
    except (OSError, ValueError) as error:
        # ValueError: bytes that are not UTF-8, whose message would show them, or a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        return SettingsFault(name, "environment", f"cannot read {path!r}: {reason}")


def flatten(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Join the names of nested tables by ``_``.

    >>> list(flatten({"port": 1, "rest": {"max_rows": 5}}))
    [('port', 1), ('rest_max_rows', 5)]
    """
    for name, value in document.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}_")
        else:
            yield f"{prefix}{name}", value


def read_project(directory: Path) -> dict[str, Any]:
    """Return ``monohull.toml`` of ``directory``, empty when there is none.

    Raises:
        SettingsError: The file is there and is not TOML.
    """
    path = directory / PROJECT_FILE
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        raise SettingsError([SettingsFault(PROJECT_FILE, str(path), "it is not UTF-8 text")]) from None
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise SettingsError([SettingsFault(PROJECT_FILE, str(path), reason)]) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([SettingsFault(PROJECT_FILE, str(path), str(error))]) from error
