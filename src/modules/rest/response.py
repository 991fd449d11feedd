"""`ResultSet` → status, headers and body. The body is what the database wrote, byte for byte.

Source: PostgREST 16, ``Response.hs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import quote

import msgspec
from msgspec import Struct

from modules.query import Call, Mutation, NotOneRow, OffsetBeyondEnd, Read, ResultSet
from modules.rest.preferences import CALL, DELETE, INSERT, PUT, READ, UNRESOLVED, UPDATE
from modules.rest.ranges import content_range, status_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modules.query import Request
    from modules.rest.request import ApiRequest
    from monohull.kernel.database.stream import ValueStream
    from monohull.kernel.errors import Problem

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]

_HONOURED: Final[Mapping[str, tuple[str, ...]]] = {"insert": INSERT, "update": UPDATE, "delete": DELETE}
_pairs: Final = msgspec.json.Decoder(list[tuple[str, str | None]])


AGENT: Final = "PostgRESTv17(pre-release)"
"""Who warns: the release whose behaviour this is, as its clients know it."""


class Answer(Struct, frozen=True):
    """What goes out; a body that still comes is closed by whoever sends it."""

    status: int
    headers: RawHeaders
    body: bytes | ValueStream


def build_answer(request: ApiRequest, result: ResultSet, *, is_void: bool = False) -> Answer:
    """Write the answer, whatever the kind of request; ``is_void`` says that a function has no result.

    Raises:
        OffsetBeyondEnd: PGRST103, with the total in ``Content-Range``.
        NotOneRow: PGRST116.
    """
    if isinstance(request.asked, Mutation):
        return _written(request, request.asked, result)
    if isinstance(request.asked, Call):
        return _called(request, result, is_void=is_void)
    return _read(request, result)


def _read(request: ApiRequest, result: ResultSet) -> Answer:
    offset = request.page.offset
    if request.media.shape == "object" and result.rows != 1:
        raise NotOneRow(result.rows)
    if result.total is not None and offset > result.total:
        raise _beyond_end(offset, result.total)
    headers: RawHeaders = [
        (b"content-type", request.media.content_type.encode()),
        (b"content-range", _shown(request, request.asked, result).encode()),
        (b"content-location", _whole_location(request).encode()),
    ]
    headers += _shared(request, READ)
    if request.head.method != "HEAD":
        headers.append((b"content-length", str(len(result.body)).encode()))
    return Answer(status_of(result.rows, result.total), headers, result.body)


def _whole_location(request: ApiRequest) -> str:
    """Return the canonical address, with the cursor where there is one."""
    if not request.cursor:
        return request.location
    return (
        f"{request.location}{'&' if '?' in request.location else '?'}cursor={quote(request.cursor, safe='')}"
    )


def _shown(request: ApiRequest, asked: Request, result: ResultSet) -> str:
    """Write ``Content-Range``; how many rows there are before a page by cursor, nobody counted."""
    if isinstance(asked, Read) and asked.keyset is not None and asked.keyset.slots:
        return content_range(0, 0, result.total)
    return content_range(request.page.offset, result.rows, result.total)


def _called(request: ApiRequest, result: ResultSet, *, is_void: bool) -> Answer:
    offset = request.page.offset
    if request.media.shape == "object" and result.rows != 1:
        raise NotOneRow(result.rows)
    if result.total is not None and offset > result.total:
        raise _beyond_end(offset, result.total)
    headers: RawHeaders = [(b"content-range", content_range(offset, result.rows, result.total).encode())]
    headers += _shared(request, CALL)
    if is_void:
        return Answer(204, headers, b"")
    headers.append((b"content-type", request.media.content_type.encode()))
    if request.head.method != "HEAD":
        headers.append((b"content-length", str(len(result.body)).encode()))
    return Answer(status_of(result.rows, result.total), headers, result.body)


def _beyond_end(offset: int, total: int) -> Problem:
    problem = OffsetBeyondEnd(offset, total)
    problem.headers = {"Content-Range": f"*/{total}"}
    return problem


def _shared(request: ApiRequest, honoured: tuple[str, ...]) -> RawHeaders:
    """Return the headers that every kind of answer has: the schema and the preferences."""
    headers: RawHeaders = []
    if request.profile is not None:
        headers.append((b"content-profile", request.profile.encode()))
    if applied := request.preferences.applied(honoured):
        headers.append((b"preference-applied", applied.encode("latin-1", "replace")))
    return headers


def _written(request: ApiRequest, asked: Mutation, result: ResultSet) -> Answer:
    headers: RawHeaders = []
    if result.key is not None:
        headers.append((b"location", location(asked.relation, result.key).encode()))
    if not asked.matches_key:
        rows = result.rows if asked.action == "update" else 0
        headers.append((b"content-range", content_range(0, rows, result.total).encode()))
    headers += _shared(request, _honoured(asked, result))
    body: bytes | ValueStream = b""
    if asked.returning == "representation":
        body = result.body
        headers.append((b"content-type", request.media.content_type.encode()))
    status = _written_status(asked, result)
    if status != 204:  # noqa: PLR2004 no content
        headers.append((b"content-length", str(len(body)).encode()))
    return Answer(status, headers, body)


def _honoured(asked: Mutation, result: ResultSet) -> tuple[str, ...]:
    if asked.matches_key:
        return PUT
    if asked.action == "insert" and result.inserted is None:
        return UNRESOLVED
    return _HONOURED[asked.action]


def _written_status(asked: Mutation, result: ResultSet) -> int:
    has_body = asked.returning == "representation"
    if asked.action != "insert":
        return 200 if has_body else 204
    if asked.conflict is None or not asked.conflict.merge or result.inserted is None or result.inserted > 0:
        return 201
    return 204 if asked.matches_key and not has_body else 200


def location(relation: str, key: bytes) -> str:
    """Return the address of a row by its primary key, as JSON pairs of name and value.

    >>> location("films", b'[["id","1"]]')
    '/films?id=eq.1'
    """
    terms = (
        f"{quote(name, safe='')}={'is.null' if value is None else 'eq.' + quote(value, safe='')}"
        for name, value in _pairs.decode(key)
    )
    return f"/{quote(relation)}?{'&'.join(terms)}"


def outdated_warning(outdated: Sequence[tuple[str, str]]) -> tuple[bytes, bytes]:
    """Return the header that says how embeds will have to be named one day."""
    updates = ", ".join(f"`{relation}` to `{alias}`" for relation, alias in outdated)
    text = (
        "Embedded resource was referenced by relation name even though it has an alias. "
        "This is deprecated and will stop working in a future release. "
        f"Update {updates} in query string filters, orders or limits."
    )
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return (b"warning", f'299 {AGENT} "{quoted}"'.encode())
