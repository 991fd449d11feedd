"""Refusals of the REST wire, and how every refusal looks on it.

The body is PostgREST's: ``{"code", "details", "hint", "message"}`` with null
where there is nothing to say, keys in that order, no spaces; ``Proxy-Status``
repeats the code for whatever cannot read bodies.

    PGRST100 400   the query string does not parse
    PGRST101 405   a function is called by GET, HEAD and POST alone
    PGRST102 400   the body
    PGRST103 416   a range that no result has
    PGRST106 406   the profile is no exposed schema
    PGRST107 406   no media type that the client accepts
    PGRST114 400   PUT with limit or offset
    PGRST117 405   a method that relations do not have
    PGRST122 400   handling=strict, and a preference nobody knows
    PGRST125 404   a path that is no relation
    PGRST126 404   the root has no description yet
    MH101    414   the query string is too long
    MH103    403   the key's scopes do not include what the request touches
    MH105    400   what Idempotency-Key says is no key
    MH106    409   a request with the same Idempotency-Key has not been answered yet
    MH107    422   the Idempotency-Key was sent with another request
    MH108    422   the answer is too large to be kept for its Idempotency-Key
    MH109    400   a batch that cannot be read
    MH110    422   a step refers to what an earlier one did not answer
    MH111    504   a batch took too long
    MH112    422   the answers of a batch are too large
    MH115    429   many calls that nobody waits for are unfinished
    PGRST003 504   no connection to the database became free in time; 503 on other wires
    SQLSTATE       what PostgreSQL refused, its status by `status_of`

Source: PostgREST 16, ``Error.hs``.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

from modules.query import QueryProblem
from monohull.kernel.errors import (
    DatabaseUnavailable,
    Forbidden,
    InternalError,
    InvalidCredential,
    PoolExhausted,
    Problem,
    Rendered,
    Unauthenticated,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from monohull.kernel.database.frames import PostgresError

JSON: Final = "application/json; charset=utf-8"
RETRY_SECONDS: Final = 5


class QueryStringError(Problem):
    """A parameter does not parse.

    Args:
        what: What was being read: ``filter``, ``order``, …
        text: The parameter's value, as the client sent it.
        column: 1-based place where reading stopped.
        found: The character there, or empty at the end.
        expected: What could have stood there.
    """

    code = "PGRST100"
    status = 400

    def __init__(self, what: str, text: str, column: int, found: str, expected: str) -> None:
        shown = f'"{found}"' if found else "end of input"
        super().__init__(
            f'"failed to parse {what} ({text})" (line 1, column {column})',
            details=f"unexpected {shown} expecting {expected}",
        )
        self.column = column


class QueryStringRefused(Problem):
    """The query string cannot be read as a whole: not UTF-8, a NUL, too many parts."""

    code = "PGRST100"
    status = 400


class QueryStringTooLong(Problem):
    """More bytes than any sensible query has."""

    code = "MH101"
    status = 414

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"The query string has {size} bytes; {limit} are allowed.",
            hint="Ask in several requests, or put a long list of values into a table and embed it.",
        )


class ScopeMissing(Forbidden):
    """The key is limited, and the request touches something beyond its scopes.

    Args:
        missing: The permissions that it lacks, one at least.
    """

    code = "MH103"

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(
            f"This key lacks the permission {missing[0]}",
            details="Missing permissions: " + ", ".join(missing),
            hint="Use a key whose scopes include it, or have it added to this one's.",
        )
        self.missing = tuple(missing)


class TooManyCalls(Problem):
    """A caller has so many calls with ``Prefer: respond-async`` that wait or run."""

    code = "MH115"
    status = 429
    hint = "Wait until some of them are over, or send the call without Prefer: respond-async."

    def __init__(self, unfinished: int) -> None:
        super().__init__(
            f"{unfinished} of your calls wait or run already.", headers={"Retry-After": str(RETRY_SECONDS)}
        )


class CallMethodNotAllowed(Problem):
    """A function is called by GET, HEAD or POST."""

    code = "PGRST101"
    status = 405

    def __init__(self, method: str) -> None:
        super().__init__(f"Cannot use the {method} method on RPC", headers={"Allow": "OPTIONS,GET,HEAD,POST"})


class BodyInvalid(Problem):
    """The body cannot be taken for rows."""

    code = "PGRST102"
    status = 400


class LimitsWithPut(Problem):
    """PUT writes one row, which has no limit or offset."""

    code = "PGRST114"
    status = 400

    def __init__(self) -> None:
        super().__init__("limit/offset querystring parameters are not allowed for PUT")


class RangeNotSatisfiable(Problem):
    """No result has this range."""

    code = "PGRST103"
    status = 416

    def __init__(self, details: str) -> None:
        super().__init__("Requested range not satisfiable", details=details)


class SchemaNotExposed(Problem):
    """The profile names a schema that is not among the exposed ones."""

    code = "PGRST106"
    status = 406

    def __init__(self, name: str, exposed: Iterable[str]) -> None:
        super().__init__(
            f"Invalid schema: {name}",
            hint=f"Only the following schemas are exposed: {', '.join(exposed)}",
        )


class MediaTypeNotAvailable(Problem):
    """Nothing the client accepts can be made."""

    code = "PGRST107"
    status = 406

    def __init__(self, wanted: Iterable[str]) -> None:
        super().__init__(f"None of these media types are available: {', '.join(wanted)}")


class MethodNotSupported(Problem):
    """Relations do not have this method."""

    code = "PGRST117"
    status = 405

    def __init__(self, method: str) -> None:
        super().__init__(f"Unsupported HTTP method: {method}", headers={"Allow": "OPTIONS,GET,HEAD"})


class PreferencesInvalid(Problem):
    """Strict handling was asked for, and something is not understood."""

    code = "PGRST122"
    status = 400

    def __init__(self, unknown: Iterable[str]) -> None:
        super().__init__(
            "Invalid preferences given with handling=strict",
            details=f"Invalid preferences: {', '.join(unknown)}",
        )


class PathInvalid(Problem):
    """The path is no relation."""

    code = "PGRST125"
    status = 404

    def __init__(self) -> None:
        super().__init__("Invalid path specified in request URL")


class RootNotDescribed(Problem):
    """The description of the data API is not served."""

    code = "PGRST126"
    status = 404

    def __init__(self) -> None:
        super().__init__("Root endpoint metadata is disabled")


class DatabaseRefused(Problem):
    """PostgreSQL refused the statement; code, message, details and hint are its own."""

    code = "SQLSTATE"
    status = 400

    def __init__(self, error: PostgresError, *, anonymous: bool) -> None:
        self.sqlstate = error.sqlstate
        status = status_of(error.sqlstate, error.message, anonymous=anonymous)
        headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
        super().__init__(error.message, details=error.detail, headers=headers)
        self.hint = error.hint
        self.__dict__["status"] = status


_BY_STATE: Final[Mapping[str, int]] = {
    "23503": 409,
    "23505": 409,
    "25006": 405,
    "2D000": 500,
    "42883": 404,
    "42P01": 404,
    "42P17": 500,
    "53400": 500,
    "P0001": 400,
    "57014": 500,
}

_BY_CLASS: Final[Mapping[str, int]] = {
    "08": 503,
    "09": 500,
    "0L": 403,
    "0P": 403,
    "25": 500,
    "28": 403,
    "2D": 500,
    "38": 500,
    "39": 500,
    "3B": 500,
    "40": 500,
    "53": 503,
    "54": 500,
    "55": 500,
    "57": 500,
    "58": 500,
    "F0": 500,
    "HV": 500,
    "P0": 500,
    "XX": 500,
}


_CHOSEN_STATUS: Final = re.compile(r"PT(?:([2-5][0-9]{2})|.*)")
"""``RAISE SQLSTATE 'PT418'``: a function says which status it wants; what is no status is 500."""


def status_of(sqlstate: str, message: str = "", *, anonymous: bool) -> int:
    """Return the HTTP status of a SQLSTATE.

    >>> status_of("23505", anonymous=False), status_of("PT418", anonymous=False)
    (409, 418)
    """
    if (chosen := _CHOSEN_STATUS.fullmatch(sqlstate)) is not None:
        return int(chosen[1] or 500)
    if sqlstate == "42501":
        return 401 if anonymous else 403
    if sqlstate == "22023" and message.startswith("role ") and message.endswith("does not exist"):
        return 401  # the token names a role that the database does not have
    if sqlstate == "21000" and not _is_clients_cardinality(message):
        return 500  # a subquery in a view or function gave more than one row
    return _BY_STATE.get(sqlstate) or _BY_CLASS.get(sqlstate[:2]) or 400


def _is_clients_cardinality(message: str) -> bool:
    """Say whether a 21000 is about the request: two rows of an upsert with one key, or safeupdate's."""
    return "ON CONFLICT" in message or message.endswith("requires a WHERE clause")


_CREDENTIAL_CODES: Final[Mapping[str, str]] = {
    "expired": "PGRST303",
    "claims": "PGRST303",
    "audience": "PGRST303",
    "early": "PGRST303",
    "issuer": "PGRST303",
    "ended": "PGRST303",
    "banned": "PGRST303",
    "deleted": "PGRST303",
    "outdated": "PGRST303",
}

_CODES: Final[tuple[tuple[type[Problem], Callable[[Any], str]], ...]] = (
    (DatabaseRefused, lambda problem: problem.sqlstate),
    (InvalidCredential, lambda problem: _CREDENTIAL_CODES.get(problem.reason, "PGRST301")),
    (Unauthenticated, lambda _: "PGRST302"),
    (DatabaseUnavailable, lambda _: "PGRST001"),
    (PoolExhausted, lambda _: "PGRST003"),
    (InternalError, lambda _: "PGRSTX00"),
)


def wire_code(problem: Problem) -> str:
    """Return the code ``problem`` has on this wire; a raised one says its own."""
    own: str | None = getattr(problem, "wire_code", None)
    if own is not None:
        return own
    return next((code(problem) for kind, code in _CODES if isinstance(problem, kind)), problem.code)


def render_rest_problem(problem: Problem, _: Any = None, *, is_minimal: bool = False) -> Rendered:
    """Write ``problem`` as PostgREST would; ``is_minimal`` leaves details and hint out."""
    code = wire_code(problem)
    details: Any = problem.details
    if isinstance(problem, QueryProblem) and problem.candidates is not None:
        details = problem.candidates
    body = {"code": code, "details": details, "hint": problem.hint, "message": problem.message}
    if problem.explanation is not None:
        body["explanation"] = problem.explanation
    if problem.path is not None:
        body["path"] = problem.path
    if is_minimal:
        body = {"code": code, "message": problem.message}
    headers = {**problem.headers, "Proxy-Status": f"PostgREST; error={code}"}
    if isinstance(problem, InvalidCredential):
        headers["WWW-Authenticate"] = (
            f'Bearer error="invalid_token", error_description="{_quotable(problem.message)}"'
        )
    elif problem.status == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", "Bearer")
    status = HTTPStatus.GATEWAY_TIMEOUT if isinstance(problem, PoolExhausted) else problem.status
    return Rendered(int(status), headers, msgspec.json.encode(body), JSON)


def _quotable(text: str) -> str:
    return text.replace("\\", "").replace('"', "'")
