"""Bodies of ``/platform/v1/calls``."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Struct

CallState: TypeAlias = Literal["queued", "running", "succeeded", "dead", "cancelled"]


class Refusal(Struct, frozen=True, kw_only=True):
    """What the data API would have answered, had the client waited: ``status`` and the body."""

    code: str
    message: str
    details: Any = None
    hint: str | None = None
    status: int = 500


class CallView(Struct, frozen=True, kw_only=True):
    """A call that its client did not wait for.

    ``result`` is what the answer's body would have been, a string where that is not JSON; with the
    ``encoding`` ``base64`` it is bytes.
    """

    id: UUID
    job_id: UUID
    function: str
    state: CallState
    attempts: int
    status: int | None
    content_type: str | None
    encoding: Literal["base64"] | None
    result: msgspec.Raw | None
    error: Refusal | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
