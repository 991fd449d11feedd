"""The log as JSON lines or CSV, page by page, so that its length costs no memory.

A cell that a spreadsheet would take for a formula begins with an apostrophe: a
user agent is what a stranger wrote.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from modules.audit.dtos import EntryView

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from modules.audit.paths import Wanted
    from modules.audit.searching import Search

Format: TypeAlias = Literal["jsonl", "csv"]

MEDIA_TYPES: Final[dict[Format, str]] = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
}
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS: Final = EntryView.__struct_fields__


async def export(search: Search, wanted: Wanted, form: Format) -> AsyncIterator[bytes]:
    """Yield the entries, the oldest first.

    Raises:
        InvalidRequest: 400, the search cannot be read.
        DatabaseUnavailable: 503.
    """
    if form == "csv":
        yield _lines([_COLUMNS])
    async for page in search.walk(wanted):
        if form == "csv":
            yield _lines([_cells(entry) for entry in page])
        else:
            yield b"".join(msgspec.json.encode(entry) + b"\n" for entry in page)


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()


def _cells(entry: EntryView) -> list[str]:
    return [_cell(getattr(entry, name)) for name in _COLUMNS]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode().strip('"')
    return f"'{text}" if text.startswith(_FORMULA) else text
