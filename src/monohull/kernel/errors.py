"""`Problem`: every refusal the product can make, as a class.

A refusal is data: its code, status and hint are attributes of a class, so no
handler invents a message and the reference of errors is generated from the
classes. Each wire renders the same `Problem` in its own shape; the platform
API answers with RFC 9457 ``application/problem+json``.

    Problem
    ├── Unauthenticated 401        no credential where one is needed
    ├── InvalidCredential 401      a credential that does not hold
    ├── Forbidden 403              a principal without the permission
    ├── NotFound 404
    ├── MethodNotAllowed 405
    ├── NotAcceptable 406
    ├── RequestTimeout 408
    ├── Conflict 409
    │   └── SchemaConflict         a trigger of the platform's schema refused it
    ├── BodyTooLarge 413
    ├── UnsupportedMediaType 415
    ├── RangeNotSatisfiable 416    the page begins behind the last row
    ├── InvalidRequest 400         the request does not decode
    ├── RateLimited 429
    ├── ClientGone 499             nobody is there any more to read the answer
    ├── InternalError 500          a defect; the message says nothing of it
    └── Unavailable 503
        ├── DatabaseUnavailable    not reachable
        ├── PoolExhausted          no connection in time
        ├── RedisUnavailable
        ├── ChangesCollided        two changes waited for each other, or met; try again
        ├── SchemaOutdated         migrations are pending, or newer than this code
        └── Draining               the process is about to stop
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROBLEM_JSON: Final = "application/problem+json"


class Problem(Exception):
    """A refusal with a stable code.

    Subclasses set `code` and `status`; there is no default status, so a class
    that forgot one cannot be raised.

    Args:
        message: One sentence for the person who reads the answer.
        details: What exactly was wrong, or None.
        hint: What to do about it; defaults to the class's `hint`.
        headers: Headers that the answer needs, ``Retry-After`` for example.

    Attributes:
        explanation: What decided about the request, for wires that show it to those who may know.
        path: JSON pointer to what was refused in the body, where there is a single place.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    hint: str | None = None
    explanation: Any = None
    path: str | None = None

    def __init__(
        self,
        message: str,
        *,
        details: str | None = None,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if not (hasattr(self, "code") and hasattr(self, "status")):
            raise TypeError(f"{type(self).__name__} declares no code and status")
        super().__init__(message)
        self.message = message
        self.details = details
        self.headers: Mapping[str, str] = headers or {}
        if hint is not None:
            self.hint = hint

    @property
    def title(self) -> str:
        """The status' standard phrase."""
        return HTTPStatus(self.status).phrase


class Unauthenticated(Problem):
    """The route needs a principal and the request brought no credential."""

    code = "unauthenticated"
    status = 401
    hint = "Send an API key in the apikey header, or a token as Authorization: Bearer."


class InvalidCredential(Problem):
    """The request brought a credential that does not hold.

    ``reason`` names which of its rules was broken (``expired``, ``signature``,
    ``malformed``, ``claims``, ``audience``, ``revoked``, ``unknown``), for wires
    with codes of their own.
    """

    code = "invalid_credential"
    status = 401

    def __init__(self, message: str, *, reason: str, details: str | None = None) -> None:
        super().__init__(
            message,
            details=details,
            headers={
                "WWW-Authenticate": f'Bearer error="invalid_token", error_description="{_printable(message)}"'
            },
        )
        self.reason = reason


class Forbidden(Problem):
    """The principal is known and lacks the permission."""

    code = "forbidden"
    status = 403


class NotFound(Problem):
    """Nothing lives at this address, or nothing the principal may see."""

    code = "not_found"
    status = 404


class MethodNotAllowed(Problem):
    """The address exists and does not take this method."""

    code = "method_not_allowed"
    status = 405


class NotAcceptable(Problem):
    """No representation matches the ``Accept`` header."""

    code = "not_acceptable"
    status = 406


class RequestTimeout(Problem):
    """The body did not arrive in time."""

    code = "request_timeout"
    status = 408


class Conflict(Problem):
    """The state of the thing contradicts the request."""

    code = "conflict"
    status = 409


class SchemaConflict(Conflict):
    """The platform's schema refused what would break a rule of its own, whoever tried it.

    Args:
        message: What cannot be.
        rule: Its name in the schema, for rooms that have a code for it.
        hint: What to do about it.
    """

    code = "schema_conflict"

    def __init__(self, message: str, *, rule: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.rule = rule


class BodyTooLarge(Problem):
    """The body has more bytes than the route takes."""

    code = "body_too_large"
    status = 413


class UnsupportedMediaType(Problem):
    """The body's media type is not one the route reads."""

    code = "unsupported_media_type"
    status = 415


class RangeNotSatisfiable(Problem):
    """The page begins behind the last row, or its end lies before its beginning."""

    code = "range_not_satisfiable"
    status = 416
    hint = "Ask for rows that exist; Content-Range says how many there are."


class InvalidRequest(Problem):
    """Path, query, headers or body do not decode into what the route takes."""

    code = "invalid_request"
    status = 400


class RateLimited(Problem):
    """The principal spent its tokens; ``Retry-After`` says when one is back."""

    code = "rate_limited"
    status = 429
    hint = "Wait for the number of seconds in the Retry-After header."


class ClientGone(Problem):
    """The client closed the connection before the answer was there; what it asked for was cancelled."""

    code = "client_gone"
    status = 499
    hint = "Only the log says so: nobody is there any more to read it."

    @property
    def title(self) -> str:
        return "Client Closed Request"


class InternalError(Problem):
    """A defect of ours. What happened is in the log under the request id."""

    code = "internal_error"
    status = 500
    hint = "Quote the request id when you report this."


class Unavailable(Problem):
    """Something the request needs is away for now.

    Args:
        message: What is away.
        retry_after_seconds: Goes out as ``Retry-After``.
    """

    code = "unavailable"
    status = 503

    def __init__(self, message: str, *, details: str | None = None, retry_after_seconds: int = 1) -> None:
        super().__init__(message, details=details, headers={"Retry-After": str(retry_after_seconds)})


class DatabaseUnavailable(Unavailable):
    """PostgreSQL does not answer."""

    code = "database_unavailable"
    hint = "The database is not reachable; the request may be repeated."


class PoolExhausted(Unavailable):
    """No database connection became free within ``MONOHULL_POOL_TIMEOUT_SECONDS``."""

    code = "pool_exhausted"
    hint = "Every database connection is busy; repeat the request, or raise MONOHULL_POOL_SIZE."


class ChangesCollided(Unavailable):
    """Two changes at once waited for each other; PostgreSQL undid this one, and nothing of it is left."""

    code = "changes_collided"
    hint = "Repeat the request."


class RedisUnavailable(Unavailable):
    """Redis does not answer and the route may not go on without it."""

    code = "redis_unavailable"
    hint = "Redis is not reachable; the request may be repeated."


class SchemaOutdated(Unavailable):
    """The database's platform schema is not the one this code was written for."""

    code = "schema_outdated"
    hint = "Run `monohull migrate`, or start the version that the schema belongs to."


class Draining(Unavailable):
    """This process takes no new requests; another one will."""

    code = "draining"


class Rendered(msgspec.Struct, frozen=True):
    """A problem as one wire writes it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    media_type: str


def render_problem(
    problem: Problem, *, request_id: str | None = None, instance: str | None = None
) -> Rendered:
    """Write ``problem`` as RFC 9457, with our members ``code``, ``hint`` and ``request_id``."""
    document: dict[str, Any] = {
        "type": f"urn:monohull:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
        "detail": _writable(problem.message),
    }
    optional = {
        "details": _writable(problem.details) if problem.details is not None else None,
        "hint": problem.hint,
        "instance": instance,
        "request_id": request_id,
    }
    document |= {name: value for name, value in optional.items() if value is not None}
    return Rendered(problem.status, problem.headers, msgspec.json.encode(document), PROBLEM_JSON)


def problem_classes(base: type[Problem] = Problem) -> Iterator[type[Problem]]:
    """Walk every class below ``base`` that has a code, for the reference and its test."""
    for child in base.__subclasses__():
        if "code" in vars(child):
            yield child
        yield from problem_classes(child)


def _printable(text: str) -> str:
    """Keep what RFC 6750 allows in ``error_description``: no quote, backslash, line end or accent."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "'" if c == '"' else "?" for c in text)


def _writable(text: str) -> str:
    """Replace halves of surrogate pairs, which a client can send escaped and UTF-8 cannot say."""
    return text.encode("utf-8", "replace").decode()
