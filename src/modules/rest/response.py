"""`ResultSet` → status, headers and body. The body is what the database wrote, byte for byte.

Source: PostgREST 16, ``Response.hs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from modules.query import NotOneRow, OffsetBeyondEnd, ResultSet
from modules.rest.ranges import content_range, status_of

if TYPE_CHECKING:
    from modules.rest.request import ApiRequest
    from monohull.kernel.errors import Problem

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]


class Answer(Struct, frozen=True):
    """What goes out."""

    status: int
    headers: RawHeaders
    body: bytes


def build_answer(request: ApiRequest, result: ResultSet) -> Answer:
    """Write the answer to a read.

    Raises:
        OffsetBeyondEnd: PGRST103, with the total in ``Content-Range``.
        NotOneRow: PGRST116.
    """
    offset = request.page.offset
    if request.media.shape == "object" and result.rows != 1:
        raise NotOneRow(result.rows)
    if result.total is not None and offset > result.total:
        raise _beyond_end(offset, result.total)
    headers: RawHeaders = [
        (b"content-type", request.media.content_type.encode()),
        (b"content-range", content_range(offset, result.rows, result.total).encode()),
        (b"content-location", request.location.encode()),
    ]
    if request.profile is not None:
        headers.append((b"content-profile", request.profile.encode()))
    if applied := request.preferences.applied():
        headers.append((b"preference-applied", applied.encode("latin-1", "replace")))
    if request.read.shape != "none":
        headers.append((b"content-length", str(len(result.body)).encode()))
    return Answer(status_of(result.rows, result.total), headers, result.body)


def _beyond_end(offset: int, total: int) -> Problem:
    problem = OffsetBeyondEnd(offset, total)
    problem.headers = {"Content-Range": f"*/{total}"}
    return problem
