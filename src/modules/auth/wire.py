"""How problems look under ``/auth/v1``, and how bodies are read there.

Two shapes, chosen by the client: ``X-Supabase-Api-Version: 2024-01-01`` or
later gets ``{code, message}``, everybody else ``{code: <status>, error_code,
msg}``. OAuth's refusals have its shape in both.

Source: supabase/auth, ``internal/api/errors.go`` and ``apiversions.go``.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from modules.auth.errors import (
    AuthProblem,
    BadJson,
    BadJwt,
    BannedBearer,
    EndedSession,
    LegacyKeyRefused,
    NoAuthorization,
    NotAdmin,
    RefreshTokenRequired,
    SavingRefused,
    UnknownBearer,
    WeakPassword,
)
from modules.auth.oauth_errors import OauthRefusal
from monohull.kernel.errors import (
    BodyTooLarge,
    Forbidden,
    InternalError,
    InvalidCredential,
    InvalidRequest,
    Problem,
    RateLimited,
    Rendered,
    Unauthenticated,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

    from litestar import Request

    from modules.auth.redirects import Redirects

T = TypeVar("T")

API_VERSION: Final = "2024-01-01"
BODY_LIMIT_BYTES: Final = 1_000_000

_MEDIA_TYPE: Final = "application/json"
_CODES: Final[Mapping[type[Problem], tuple[str, str | None]]] = {
    BodyTooLarge: ("request_entity_too_large", None),
    RateLimited: ("over_request_rate_limit", "Request rate limit reached"),
    InvalidRequest: ("validation_failed", None),
    InternalError: (
        "unexpected_failure",
        "Unexpected failure, please check server logs for more information",
    ),
}
"""The kernel's refusals by GoTrue's code, and its text where clients compare that."""

_TOKEN_WORDS: Final[Mapping[str, str]] = {
    "signature": "token signature is invalid: signature is invalid",
    "expired": "token has invalid claims: token is expired",
    "malformed": "token is malformed: it cannot be decoded",
}
"""What GoTrue says about a token, which applications compare; `tokens` speaks as PostgREST does."""

_WRONG_PARTS: Final = "token is malformed: token contains an invalid number of segments"

_REVOKED: Final[Mapping[str, Callable[[], Problem]]] = {
    "ended": EndedSession,
    "banned": BannedBearer,
    "deleted": UnknownBearer,
}
"""Tokens that held until something ended, by `revocations.denylist`'s reason."""


def decode(body: bytes, shape: type[T]) -> T:
    """Decode a body.

    Raises:
        BadJson: 400, it is not JSON, or not of this shape.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadJson(f"Could not parse request body as JSON: {error}") from error
    except RecursionError as error:
        raise BadJson("Could not parse request body as JSON: it is nested too deeply") from error


def redirect_of(request: Request[Any, Any, Any], redirects: Redirects) -> str:
    """Return where the flow that ``request`` starts will end: ``redirect_to`` if that is allowed."""
    return redirects.choose(request.query_params.get("redirect_to"), request.headers.get("referer"))


def render(problem: Problem, scope: MutableMapping[str, Any]) -> Rendered:
    """Write ``problem`` in the shape that the client of ``scope`` understands."""
    shown = _translated(problem, scope)
    code, fixed = _CODES.get(type(shown), (shown.code, None))
    message = fixed or shown.message
    if isinstance(shown, SavingRefused) and shown.details:
        message = f"{message}: {shown.details}"
    headers = {**problem.headers, "x-sb-error-code": code}
    if isinstance(shown, (RefreshTokenRequired, OauthRefusal)):
        body: dict[str, Any] = {"error": code, "error_description": message}
    elif _is_new(scope):
        headers["x-supabase-api-version"] = API_VERSION
        body = {"code": code, "message": message}
    else:
        body = {"code": shown.status, "error_code": code, "msg": message}
        if isinstance(shown, InternalError):
            body["error_id"] = scope["state"].get("request_id", "")
    if isinstance(shown, WeakPassword):
        body["weak_password"] = {"reasons": shown.reasons}
    return Rendered(shown.status, headers, msgspec.json.encode(body), _MEDIA_TYPE)


def _translated(problem: Problem, scope: MutableMapping[str, Any]) -> Problem:
    """Put what guards and authentication raise into GoTrue's words."""
    if isinstance(problem, AuthProblem):
        return problem
    credentials = scope["state"].get("credentials")
    has_bearer = credentials is not None and credentials.bearer is not None
    if isinstance(problem, Unauthenticated):
        return BadJwt("invalid claim: missing sub claim") if has_bearer else NoAuthorization()
    if isinstance(problem, LegacyKeyRefused):
        return problem
    if isinstance(problem, InvalidCredential):
        return _credential_refusal(problem, has_bearer=has_bearer)
    if type(problem) is Forbidden:  # others have a code of their own
        return NotAdmin()
    return problem


def _credential_refusal(problem: InvalidCredential, *, has_bearer: bool) -> Problem:
    if not has_bearer:
        return NoAuthorization("Invalid API key")
    if (refusal := _REVOKED.get(problem.reason)) is not None:
        return refusal()
    words = _TOKEN_WORDS.get(problem.reason, problem.message)
    if problem.message.startswith("Expected 3 parts"):
        words = _WRONG_PARTS
    return BadJwt(f"invalid JWT: unable to parse or verify signature, {words}")


def _is_new(scope: MutableMapping[str, Any]) -> bool:
    raw = next((value for name, value in scope["headers"] if name == b"x-supabase-api-version"), b"")
    try:
        return date.fromisoformat(raw.decode("ascii")) >= date.fromisoformat(API_VERSION)
    except ValueError:
        return False
