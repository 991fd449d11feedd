"""Cursors: where a page begins, signed, so that nobody has to keep it.

    GET /rest/v1/orders?order=created_at.desc&limit=20        Prefer: pagination=cursor
    Link: <?limit=20&order=created_at.desc&cursor=AQx…>; rel="next"

A cursor holds the values that one row is ordered by, and what it belongs to: table,
order, filters and role. It is signed and not encrypted: whoever has it was shown
rows by that order, and the same page has the same cursors each time.

    cursor  = base64url( MAC[16] form[1] binding[12] values )
    form    = version * 2 + ( 1 if the page goes backward )
    values  = JSON array of texts and nulls
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from modules.query import Keyset, PagingImpossible, Read
from modules.rest.metrics import PAGES
from modules.rest.paging_errors import CursorInvalid, CursorOfAnother, CursorTooLong
from monohull.kernel.crypto import constant_time_equal, derive_key
from monohull.kernel.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.query import Compiler, Order
    from modules.rest.request import ApiRequest
    from modules.rest.response import RawHeaders
    from monohull.kernel.metrics import Metrics
    from monohull.kernel.observation import Observer, Reader

MAX_CURSOR: Final = 4096
"""Characters: what servers and proxies take in a line of a request."""

_PURPOSE: Final = "rest.cursors"
_VERSION: Final = 1
_MAC_BYTES: Final = 16
_BINDING_BYTES: Final = 12
_HEAD_BYTES: Final = _MAC_BYTES + 1 + _BINDING_BYTES
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")
_PAGE_OF: Final = frozenset({"order", "limit", "offset"})
_NO_FILTERS: Final = frozenset({"select", "columns", "on_conflict"})

Way: TypeAlias = Literal["first", "next", "prev"]
Values: TypeAlias = tuple[str | None, ...]
_values: Final = msgspec.json.Decoder(Values)
_page: Final = msgspec.json.Decoder(tuple[Values | None, Values | None, bool])


class PageGiven(Observation, frozen=True, kw_only=True):
    """A page by cursor was given: the first one, or one that a link led to."""

    event = "rest.page_given"
    level = "debug"

    way: Way


def page_metrics(metrics: Metrics) -> Reader:
    """Return the reader that counts pages."""
    pages = metrics.counter(PAGES)

    def read(observation: Observation) -> None:
        if isinstance(observation, PageGiven):
            pages.labels(observation.way).inc()

    return read


class Cursors:
    """Reads and writes cursors.

    Args:
        secret: Of the instance; cursors that were signed with another are refused.
        observer: Is told of pages.
    """

    def __init__(self, secret: str | bytes, observer: Observer) -> None:
        self._key = derive_key(secret, _PURPOSE)
        self._observer = observer

    def place(self, request: ApiRequest, compiler: Compiler, *, role: str, anonymous: bool) -> ApiRequest:
        """Return ``request`` with the order that pages need, and the place where its page begins.

        Raises:
            RelationNotFound, RelationClosed: PGRST205, MH100.
            PagingImpossible: MH122.
            CursorInvalid: MH120. CursorOfAnother: MH121.
        """
        asked, cursor = request.asked, request.cursor
        assert isinstance(asked, Read)
        assert cursor is not None
        if request.page.offset:
            raise PagingImpossible(
                "A number of rows is to be skipped.", "Send a cursor or an offset, not both."
            )
        order = compiler.keyset_order(asked, role=role, anonymous=anonymous)
        binding = _binding(asked, order, request.location, role)
        keyset, values = Keyset(), list(request.values)
        if cursor:
            is_backward, found, bound_to = self._open(cursor)
            if bound_to != binding or len(found) != len(order):
                raise CursorOfAnother
            slots: list[int | None] = []
            for value in found:
                slots.append(None if value is None else len(values))
                values += () if value is None else (value,)
            keyset = Keyset(is_backward, tuple(slots))
        selection = replace(asked.selection, order=order)
        asked = replace(asked, selection=selection, keyset=keyset)
        return replace(request, asked=asked, values=values, binding=binding)

    def links(self, request: ApiRequest, page: bytes | None) -> RawHeaders:
        """Return the header that leads to the pages beside a page; none where there are none.

        Args:
            request: As `place` returned it.
            page: See `ResultSet.page`.

        Raises:
            CursorTooLong: MH123.
        """
        if page is None:
            return []
        asked = request.asked
        assert isinstance(asked, Read)
        assert asked.keyset is not None
        way: Way = "first"
        if asked.keyset.slots:
            way = "prev" if asked.keyset.is_backward else "next"
        self._observer.observe(PageGiven(way=way))
        nearest, farthest, has_more = _page.decode(page)
        ahead = farthest if has_more else None
        behind = nearest if asked.keyset.slots else None
        onward, back = (behind, ahead) if asked.keyset.is_backward else (ahead, behind)
        query = request.location.partition("?")[2]
        start = f"<?{query}&cursor=" if query else "<?cursor="
        links = [
            f'{start}{self._sign(request.binding, values, is_backward=is_backward)}>; rel="{name}"'
            for name, is_backward, values in (("next", False, onward), ("prev", True, back))
            if values is not None
        ]
        return [(b"link", ", ".join(links).encode())] if links else []

    def _sign(self, binding: bytes, values: Values, *, is_backward: bool) -> str:
        payload = bytes((_VERSION * 2 + is_backward,)) + binding + msgspec.json.encode(values)
        cursor = urlsafe_b64encode(self._mac(payload) + payload).rstrip(b"=").decode()
        if len(cursor) > MAX_CURSOR:
            raise CursorTooLong(len(cursor), MAX_CURSOR)
        return cursor

    def _open(self, cursor: str) -> tuple[bool, Values, bytes]:
        """Return whether the page goes backward, where it begins, and what it belongs to."""
        if len(cursor) > MAX_CURSOR or not _BASE64URL.fullmatch(cursor) or len(cursor) % 4 == 1:
            raise CursorInvalid
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if len(raw) <= _HEAD_BYTES or not constant_time_equal(mac, self._mac(payload)):
            raise CursorInvalid
        form, binding = payload[0], payload[1 : 1 + _BINDING_BYTES]
        if form // 2 != _VERSION:
            raise CursorInvalid
        return bool(form % 2), _values.decode(payload[1 + _BINDING_BYTES :]), binding

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, "sha256")[:_MAC_BYTES]


def _binding(asked: Read, order: Sequence[Order], location: str, role: str) -> bytes:
    """Return a digest of what a cursor belongs to.

    What is selected and how many rows are wanted may change on the way.
    """
    pairs = (pair.partition("=") for pair in location.partition("?")[2].split("&"))
    filters = [
        (name, value)
        for name, _, value in pairs
        if name not in _NO_FILTERS and name.rpartition(".")[2] not in _PAGE_OF
    ]
    parts = (asked.schema, asked.relation, role, order, filters)
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=_BINDING_BYTES).digest()
