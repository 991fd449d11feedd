"""What a function meant that raised ``SQLSTATE 'PGRST'``: the whole answer is its own.

    RAISE SQLSTATE 'PGRST' USING
      message = '{"code": "1", "message": "m", "details": "d", "hint": "h"}',
      detail  = '{"status": 402, "headers": {"X-Why": "h"}, "status_text": "Pay"}';

The reason phrase is left to the server, which knows none but the standard's.

Source: PostgREST 16, ``Error.hs``, ``parseRaisePGRST``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from modules.query import Mutation
from modules.rest.body import is_json
from modules.rest.errors import DatabaseRefused
from modules.rest.guc import FRAMING, is_header
from monohull.kernel.errors import Problem

if TYPE_CHECKING:
    from modules.rest.request import ApiRequest
    from monohull.kernel.database.frames import PostgresError

SQLSTATE: Final = "PGRST"

MESSAGE_HINT: Final = (
    "MESSAGE must be a JSON object with obligatory keys: 'code', 'message' and optional keys: "
    "'details', 'hint'."
)
DETAIL_HINT: Final = (
    "DETAIL must be a JSON object with obligatory keys: 'status', 'headers' and optional key: 'status_text'."
)


class RaisedMessage(Struct):
    """The body."""

    code: str
    message: str
    details: str | None = None
    hint: str | None = None


class RaisedDetail(Struct):
    """Status and headers."""

    status: int
    headers: dict[str, str]
    status_text: str | None = None


class Raised(Problem):
    """The answer that a function asked for."""

    code = "SQLSTATE"
    status = 500

    def __init__(self, message: RaisedMessage, detail: RaisedDetail) -> None:
        headers = {name: value for name, value in detail.headers.items() if name.lower() not in FRAMING}
        super().__init__(message.message, details=message.details, headers=headers)
        self.wire_code = message.code
        self.hint = message.hint
        self.__dict__["status"] = detail.status


class RaiseNotUnderstood(Problem):
    """MESSAGE or DETAIL is not the JSON that it has to be."""

    code = "PGRST121"
    status = 500

    def __init__(self, details: str, hint: str) -> None:
        super().__init__(
            "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error", details=details, hint=hint
        )


def refusal(error: PostgresError, *, anonymous: bool) -> Problem:
    """Return what the client is told of ``error``."""
    if error.sqlstate != SQLSTATE:
        return DatabaseRefused(error, anonymous=anonymous)
    try:
        message = msgspec.json.decode(error.message, type=RaisedMessage)
    except msgspec.DecodeError:
        return RaiseNotUnderstood(f"Invalid JSON value for MESSAGE: '{error.message}'", MESSAGE_HINT)
    if error.detail is None:
        return RaiseNotUnderstood("DETAIL is missing in the RAISE statement", DETAIL_HINT)
    try:
        detail = msgspec.json.decode(error.detail, type=RaisedDetail)
    except msgspec.DecodeError:
        return RaiseNotUnderstood(f"Invalid JSON value for DETAIL: '{error.detail}'", DETAIL_HINT)
    if not 200 <= detail.status <= 599 or not all(is_header(*header) for header in detail.headers.items()):  # noqa: PLR2004  HTTP's
        return RaiseNotUnderstood(f"Invalid JSON value for DETAIL: '{error.detail}'", DETAIL_HINT)
    return Raised(message, detail)


def is_about_body(error: PostgresError, request: ApiRequest) -> bool:
    """Say whether the database met a body that is no JSON, which a scan for keys may pass over."""
    asked = request.asked
    if error.sqlstate not in ("22P02", "22021") or not isinstance(asked, Mutation) or asked.body is None:
        return False
    body = request.values[asked.body]
    return isinstance(body, bytes) and not is_json(body)
