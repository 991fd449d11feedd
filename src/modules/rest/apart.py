"""Bodies like one that came before, taken apart at a glance: what stands between the values stays the same.

    {"kind": "click", "amount": 7}      →      b"click", b"7"

A client writes all bodies of a kind the same way, so one pattern finds their
values, where `body.parse_json` would have to look at each key. What it takes has
one meaning: texts without escapes, numbers without exponent, JSON in one layer.
Whatever else there may be it leaves alone, and the body is read as any other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from modules.rest.body import take_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

Values: TypeAlias = "Sequence[bytes | None]"

MAX_COLUMNS: Final = 50
MAX_BETWEEN_BYTES: Final = 2048
"""Between all values of a body; a pattern with more takes long to make, and room."""
_TEXT: Final = rb'[^"\\\x00-\x1f]*+'
# other spellings of a number (1e2, -0.0) may mean another text to the database
_NUMBER: Final = rb"-?[1-9]\d*+(?:\.\d++)?|0(?:\.\d++)?"
_LAYER: Final = rb'(?:[^{}\[\]"\\\x00-\x08\x0b\x0c\x0e-\x1f]++|"%b")*+' % _TEXT

# of each kind by its first byte: the group is the value, or is none for null
_SCALARS: Final = {
    b'"': rb'"(%b)"' % _TEXT,
    b"t": b"(true|false)",
    b"f": b"(true|false)",
    b"n": b"null((?!))?",
    b"0": b"(%b)" % _NUMBER,
}
_DOCUMENTS: Final = _SCALARS | {
    b'"': rb'("%b")' % _TEXT,
    b"{": rb"(\{%b\})" % _LAYER,
    b"[": rb"(\[%b\])" % _LAYER,
}
_NAME: Final = re.compile(rb'%b[{,]%b"(?:[^"\\]|\\.)*+"%b:%b' % ((rb"[ \t\r\n]*+",) * 4))
_DIGITS: Final = frozenset(b"-0123456789")


def learn_body(raw: bytes, documents: Sequence[bool]) -> re.Pattern[bytes] | None:
    """Return what takes bodies like ``raw``, an object, apart; None where that is not to be told.

    Args:
        raw: The body.
        documents: Of each column, in the order of the body, whether it takes any JSON.
    """
    fields = take_fields(raw)
    if len(fields) != len(documents) or len(fields) > MAX_COLUMNS:
        return None
    if len(raw) - sum(map(len, fields.values())) > MAX_BETWEEN_BYTES:
        return None
    pieces: list[bytes] = []
    done = 0
    for value, is_document in zip(fields.values(), documents, strict=True):
        kinds = _DOCUMENTS if is_document else _SCALARS
        kind = kinds.get(b"0" if value[0] in _DIGITS else value[:1])
        name = _NAME.match(raw, done)
        if kind is None or name is None or not raw.startswith(value, name.end()):  # the key comes twice
            return None
        pieces += (re.escape(raw[done : name.end()]), kind)
        done = name.end() + len(value)
    rest = raw[done:]
    pattern = re.compile(b"".join((*pieces, re.escape(rest))))
    return pattern if rest.strip() == b"}" and pattern.fullmatch(raw) else None


def take_values(pattern: re.Pattern[bytes], raw: bytes) -> Values | None:
    """Return the values in ``raw``, None of a body that is written in another way.

    >>> learnt = learn_body(b'{"kind": "click", "amount": 7}', (False, False))
    >>> take_values(learnt, b'{"kind": "zoom", "amount": 12.50}')
    [b'zoom', b'12.50']
    >>> take_values(learnt, b'{"kind": null, "amount": 7}')
    """
    found = pattern.fullmatch(raw)
    if found is None:
        return None
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError:
            return None
    return list(found.groups())
