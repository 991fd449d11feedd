"""What ``/platform/v1/policy/explain`` takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from modules.policy.services import DEFAULT_ROWS, MAX_ROWS


class ExplainRequest(Struct, frozen=True, forbid_unknown_fields=True, rename={"caller": "as"}):
    """A request, and whom it is to be tried as."""

    caller: Annotated[str, Meta(min_length=1, max_length=300, examples=["anon", "user:ID", "key:ID"])]
    """``anon``, ``service``, ``user:ID`` or ``key:ID``; ``as`` on the wire."""
    request: Annotated[str, Meta(min_length=1, max_length=16_384, examples=["GET /rest/v1/orders?id=eq.1"])]
    """Method and address."""
    role: Annotated[str, Meta(min_length=1, max_length=63)] | None = None
    """Database role in place of the caller's own."""
    claims: Mapping[str, Any] | None = None
    """Laid over the claims of the caller's token."""
    body: Any = None
    """JSON value of a write or a call; a string is sent as it is."""
    headers: Mapping[str, str] = {}
    """Such as ``Prefer``."""
    rows: Annotated[int, Meta(ge=1, le=MAX_ROWS)] = DEFAULT_ROWS
    """How many rows are examined."""
