"""``response.headers`` and ``response.status``: what functions and triggers add to the answer.

    set_config('response.headers', '[{"Cache-Control": "no-store"}, {"X-Two": "b"}]', true)
    set_config('response.status', '202', true)

A header that the answer has already is replaced, all others are added; the same
name twice gives two headers. How long the body is stays ours to say.

Source: PostgREST 16, ``Response/GucHeader.hs`` and ``Response.hs``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from monohull.kernel.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SETTINGS: Final = ("response.headers", "response.status")
"""What statements give back, in this order."""

CLEARED: Final = tuple((name, "") for name in SETTINGS)
"""Said in each transaction: what a function set for its whole session must not reach another client."""

FRAMING: Final = frozenset({"content-length", "transfer-encoding"})
"""Where the body ends is said by whoever writes it."""

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

RawHeaders = list[tuple[bytes, bytes]]


class ResponseHeadersInvalid(Problem):
    """``response.headers`` is not the JSON that it has to be."""

    code = "PGRST111"
    status = 500

    def __init__(self) -> None:
        super().__init__(
            "response.headers guc must be a JSON array composed of objects with a single key "
            "and a string value"
        )


class ResponseStatusInvalid(Problem):
    """``response.status`` is no status code."""

    code = "PGRST112"
    status = 500

    def __init__(self) -> None:
        super().__init__("response.status guc must be a valid status code")


def override(
    status: int, headers: Sequence[tuple[bytes, bytes]], asides: Sequence[bytes | None]
) -> tuple[int, RawHeaders]:
    """Return status and headers with what the database had to say about them.

    Raises:
        ResponseHeadersInvalid: PGRST111.
        ResponseStatusInvalid: PGRST112.
    """
    raw_headers, raw_status = asides
    kept = list(headers)
    if raw_headers:
        added = parse_headers(raw_headers)
        names = {name for name, _ in added}
        kept = [pair for pair in kept if pair[0].lower() not in names] + added
    return (parse_status(raw_status) if raw_status else status), kept


def parse_headers(raw: bytes) -> RawHeaders:
    """Read the array; names in lower case, as ASGI has them.

    Raises:
        ResponseHeadersInvalid: PGRST111.
    """
    try:
        items = msgspec.json.decode(raw, type=list[dict[str, str]])
    except msgspec.DecodeError:
        raise ResponseHeadersInvalid from None
    if any(len(item) != 1 for item in items):
        raise ResponseHeadersInvalid
    return list(_encoded(next(iter(item.items())) for item in items))


def parse_status(raw: bytes) -> int:
    """Read the status.

    Raises:
        ResponseStatusInvalid: PGRST112.
    """
    text = raw.decode("ascii", "replace")
    if not (text.isdigit() and 200 <= int(text) <= 599):  # noqa: PLR2004  HTTP's
        raise ResponseStatusInvalid
    return int(text)


def is_header(name: str, value: str) -> bool:
    """Say whether a header can be sent: a line break would begin another one, and a colon end the name."""
    return bool(_NAME.fullmatch(name)) and not any(c in value for c in "\r\n\0")


def _encoded(pairs: Iterable[tuple[str, str]]) -> Iterable[tuple[bytes, bytes]]:
    for name, value in pairs:
        if not is_header(name, value):
            raise ResponseHeadersInvalid
        if name.lower() not in FRAMING:
            yield name.lower().encode(), value.encode()
