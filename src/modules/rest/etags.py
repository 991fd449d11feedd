"""Entity tags: what ``If-Match`` and ``If-None-Match`` say, and what answers them. Pure.

Two kinds are given out. A strong one, ``"r…"``, stands for the versions of the
rows that a URL's filters find, whatever representation is asked for; it is what
``If-Match`` can be about. A weak one, ``W/"p…"``, stands for one answer as it was.

Source: RFC 9110, sections 8.8.3 and 13.1.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct

from modules.rest.conditional_errors import ConditionInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modules.rest.response import RawHeaders

IF_MATCH: Final = b"if-match"
IF_NONE_MATCH: Final = b"if-none-match"
ANY: Final = "*"
MAX_TAGS: Final = 100

_TAGS: Final = re.compile(r'[ \t,]*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|\Z)')
_DIGEST_BYTES: Final = 16
_REPRESENTATION: Final = frozenset({b"content-type", b"content-range", b"preference-applied"})

Tags: TypeAlias = tuple[str, ...]


class Conditions(Struct, frozen=True):
    """What a request makes itself depend on.

    Attributes:
        match: Tags of ``If-Match``, ``*`` among them for anything at all; None where it is not there.
        none_match: The same of ``If-None-Match``.
    """

    match: Tags | None = None
    none_match: Tags | None = None

    def allow_write(self, current: str | None) -> bool:
        """Say whether a write may go on; ``current`` is the strong tag of what is there, None for nothing."""
        if self.match is not None and (current is None or not {ANY, current} & set(self.match)):
            return False
        if self.none_match is None or current is None:
            return True
        return ANY not in self.none_match and not _is_among(current, self.none_match)

    def know(self, current: str) -> bool:
        """Say whether who reads has ``current`` already."""
        return self.none_match is not None and (ANY in self.none_match or _is_among(current, self.none_match))


def conditions_of(scope: Mapping[str, Any]) -> Conditions | None:
    """Return what the headers of a request say, None where they make no condition.

    Raises:
        ConditionInvalid: 400, they hold no entity tags.
    """
    found: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        if name in {IF_MATCH, IF_NONE_MATCH}:
            found.setdefault(name, []).append(value.decode("latin-1"))
    if not found:
        return None
    match, none_match = (
        _parse(name, ",".join(found[name])) if name in found else None for name in (IF_MATCH, IF_NONE_MATCH)
    )
    return Conditions(match, none_match)


def _parse(name: bytes, text: str) -> Tags:
    """Read ``*`` or a list of tags.

    >>> _parse(b"if-match", '"a", W/"b"')
    ('"a"', 'W/"b"')
    """
    if text.strip() == ANY:
        return (ANY,)
    tags: list[str] = []
    at = 0
    while (found := _TAGS.match(text, at)) is not None:
        tags.append(found[1])
        at = found.end()
    if not tags or text[at:].strip(" \t,") or len(tags) > MAX_TAGS:
        raise ConditionInvalid(name.decode())
    return tuple(tags)


def strong_tag(version: bytes) -> str:
    """Return the tag of rows; ``version`` is what the database tells them apart by."""
    return f'"r{hashlib.blake2b(version, digest_size=_DIGEST_BYTES).hexdigest()}"'


def weak_tag(body: bytes, headers: RawHeaders) -> str:
    """Return the tag of one answer: its body, and what of its headers belongs to it."""
    digest = hashlib.blake2b(body, digest_size=_DIGEST_BYTES)
    for name, value in headers:
        if name in _REPRESENTATION:
            digest.update(name + b"\0" + value + b"\0")
    return f'W/"p{digest.hexdigest()}"'


def _is_among(tag: str, tags: Sequence[str]) -> bool:
    """Compare weakly."""
    bare = tag.removeprefix("W/")
    return any(bare == one.removeprefix("W/") for one in tags)
