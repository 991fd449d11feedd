"""CSV and JSON Lines, by the names of `Imported`."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any, Final

import msgspec

from modules.auth.intake.records import Entry, Imported, Rejection, instant
from modules.auth.intake.sources.streams import objects
from monohull.kernel import clock
from monohull.kernel.refusals import WrongSetup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

COLUMNS: Final = tuple(field.name for field in msgspec.structs.fields(Imported))
ALIASES: Final = {
    "encrypted_password": "password_hash",
    "raw_user_meta_data": "user_metadata",
    "raw_app_meta_data": "app_metadata",
}
"""Names of columns of ``auth.users``, as a dump has them."""

TIMES: Final = tuple(name for name in COLUMNS if name.endswith("_at") or name == "banned_until")
OBJECTS: Final = ("user_metadata", "app_metadata", "identities")
FLAGS: Final = ("is_sso_user", "is_anonymous")
YES: Final = ("true", "t", "yes", "1")
NO: Final = ("false", "f", "no", "0")
MAX_FIELD_CHARACTERS: Final = 1_000_000


def read_jsonl(stream: TextIO) -> Iterator[Entry]:
    """Read an object a line, or an array of them.

    Raises:
        WrongSetup: An array is no JSON.
    """
    for where, found in objects(stream, key="users"):
        yield Entry(where, found if isinstance(found, Rejection) else _record(found))


def read_csv(stream: TextIO) -> Iterator[Entry]:
    """Read a table whose first line names its columns; empty fields count as not there.

    Raises:
        WrongSetup: A column has a name that is not known, or the file is no CSV.
    """
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    reader = csv.reader(stream, strict=True)
    try:
        names = [ALIASES.get(name.strip(), name.strip()) for name in next(reader, [])]
        unknown = [name for name in names if name not in COLUMNS]
        if unknown or len(set(names)) < len(names) or not names:
            raise WrongSetup(
                f"the first line has to name columns, each once, of: {', '.join(COLUMNS)}"
                + (f"; not {', '.join(unknown)[:200]}" if unknown else "")
            )
        for row in reader:
            if row:
                yield Entry(f"line {reader.line_num}", _row(names, row))
    except csv.Error as error:
        raise WrongSetup(f"line {reader.line_num} is no CSV: {error}") from error


def _row(names: list[str], row: list[str]) -> Imported | Rejection:
    if len(row) != len(names):
        return Rejection("wrong_columns", f"it has {len(row)} fields where the first line has {len(names)}")
    fields: dict[str, Any] = {name: value for name, value in zip(names, row, strict=True) if value.strip()}
    try:
        for name in fields.keys() & set(OBJECTS):
            fields[name] = json.loads(fields[name])
    except (ValueError, RecursionError):
        return Rejection("no_json", "its metadata or identities are no JSON")
    return _record(fields)


def _record(fields: dict[str, Any]) -> Imported | Rejection:
    fields = {ALIASES.get(name, name): value for name, value in fields.items() if value is not None}
    try:
        for name in fields.keys() & set(TIMES):
            fields[name] = _moment(fields[name])
        for name in fields.keys() & set(FLAGS):
            fields[name] = _flag(name, fields[name])
        return msgspec.convert(fields, Imported)
    except Rejection as rejection:
        return rejection
    except msgspec.ValidationError as error:
        return Rejection("bad_value", str(error))


def _moment(value: object) -> object:
    """Read a time; ``true`` in its place means now, and ``false`` never."""
    if isinstance(value, str | bool) and str(value).strip().lower() in ("true", "false"):
        return clock.now() if str(value).strip().lower() == "true" else None
    return instant(value)


def _flag(name: str, value: object) -> bool:
    text = str(value).strip().lower()
    if text not in (*YES, *NO):
        raise Rejection("bad_value", f"{name} is neither true nor false")
    return text in YES
