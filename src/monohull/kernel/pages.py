"""What controllers read and write alike: ids in paths, and pages of lists with the headers around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from litestar import Response

from monohull.kernel.errors import NotFound
from monohull.kernel.pagination import page_headers, parse_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from litestar import Request

    from monohull.kernel.pagination import Page


def page_of(request: Request[Any, Any, Any]) -> Page:
    """Return the page that ``limit`` and ``offset`` or ``Range`` name.

    Raises:
        InvalidRequest: 400. RangeNotSatisfiable: 416.
    """
    query, headers = request.query_params, request.headers
    return parse_page(
        query.get("limit"), query.get("offset"), headers.get("range"), range_unit=headers.get("range-unit")
    )


def paged(
    request: Request[Any, Any, Any], page: Page, found: Sequence[Any], total: int
) -> Response[Sequence[Any]]:
    """Answer with one page.

    Raises:
        RangeNotSatisfiable: 416, it begins behind the last row.
    """
    url = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    return Response(found, headers=page_headers(url, page, len(found), total))


def id_of(text: str, absent: str) -> UUID:
    """Read an id in a path.

    Raises:
        NotFound: 404, with ``absent``: nothing can have an id that is none.
    """
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(absent) from None
