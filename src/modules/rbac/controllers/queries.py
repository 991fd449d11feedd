"""What a query of rbac's lists holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from monohull.kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from litestar import Request


def text_of(request: Request[Any, Any, Any], name: str) -> str | None:
    """Return a text of the query, or None.

    Raises:
        InvalidRequest: 400, it holds a zero byte, which PostgreSQL takes nowhere.
    """
    text: str | None = request.query_params.get(name)
    if text is not None and "\0" in text:
        raise InvalidRequest(f"{name} holds a zero byte.")
    return text


def optional_id(request: Request[Any, Any, Any], name: str) -> UUID | None:
    """Return an id of the query, or None.

    Raises:
        InvalidRequest: 400.
    """
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise InvalidRequest(f"{name} is no id.") from None
