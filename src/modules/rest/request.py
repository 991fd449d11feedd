"""HTTP → `ApiRequest`: every part parsed, nothing judged.

There is no guarantee that the intent is sensible; whether the relation exists
is for the planner to say.

Source: PostgREST 16, ``ApiRequest.hs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct

from modules.query import Read
from modules.rest.errors import (
    CallMethodNotAllowed,
    CallNotSupported,
    MethodNotSupported,
    PathInvalid,
    RootNotDescribed,
    SchemaNotExposed,
)
from modules.rest.media import Media, choose_media
from modules.rest.parameters import parse_parameters
from modules.rest.preferences import NONE, Preferences, parse_preferences
from modules.rest.ranges import WHOLE, Page, parse_range

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from modules.rest.settings import RestSettings

PREFIX: Final = "/rest/v1"
_CALL_METHODS: Final = ("GET", "HEAD", "POST")


class ApiRequest(Struct, frozen=True):
    """A read as it was asked for.

    Attributes:
        read: What is wanted, without values: the shape.
        values: Values by slot.
        page: The rows wanted, after the ceiling.
        media: The representation.
        preferences: The client's wishes.
        location: Canonical path and query, for ``Content-Location``.
        profile: Schema to echo, None when there is only one.
    """

    read: Read
    values: Sequence[str]
    page: Page
    media: Media
    preferences: Preferences
    location: str
    profile: str | None


class _Headers(Struct):
    """The headers that a read looks at."""

    accept: str = "*/*"
    profile: str | None = None
    range: str | None = None
    prefer: tuple[str, ...] = ()


def parse_request(scope: Mapping[str, Any], settings: RestSettings) -> ApiRequest:
    """Parse an ASGI scope whose method is GET or HEAD.

    Raises:
        QueryStringError: PGRST100, and the other refusals of `parameters`.
        SchemaNotExposed: PGRST106.
        MediaTypeNotAvailable: PGRST107.
        PreferencesInvalid: PGRST122.
        PathInvalid: PGRST125.
    """
    headers = _headers(scope["headers"])
    schema = _schema(headers.profile, settings.schemas)
    relation = relation_of(scope, schema)
    preferences = parse_preferences(headers.prefer) if headers.prefer else NONE
    media = choose_media(headers.accept)
    asked = parse_range(headers.range) if headers.range is not None and scope["method"] == "GET" else WHOLE
    parameters = parse_parameters(scope["query_string"], range_page=asked, max_rows=settings.max_rows)
    read = Read(
        schema=schema,
        relation=relation,
        selection=parameters.selection,
        shape="none" if scope["method"] == "HEAD" else media.shape,
        count=preferences.count,
        strip_nulls=media.strip_nulls,
        max_rows=settings.max_rows,
    )
    return ApiRequest(
        read,
        parameters.values,
        parameters.page,
        media,
        preferences,
        _location(relation, parameters.canonical),
        schema if len(settings.schemas) > 1 else None,
    )


def relation_of(scope: Mapping[str, Any], schema: str) -> str:
    """Return the relation that the path names.

    Raises:
        RootNotDescribed: PGRST126.
        PathInvalid: PGRST125.
        CallMethodNotAllowed: PGRST101.
        CallNotSupported: PGRST202.
        MethodNotSupported: PGRST117.
    """
    path: str = scope["path"]
    name = path.removeprefix(PREFIX).removeprefix("/")
    if not name:
        raise RootNotDescribed
    method: str = scope["method"]
    if name.startswith("rpc/") and name.count("/") == 1:
        if method not in _CALL_METHODS:
            raise CallMethodNotAllowed(method)
        raise CallNotSupported(schema, name[len("rpc/") :])
    if "/" in name or "\x00" in name or not _is_text(scope):
        raise PathInvalid
    if method not in ("GET", "HEAD"):
        raise MethodNotSupported(method)
    return name


def _is_text(scope: Mapping[str, Any]) -> bool:
    """Say whether the path is UTF-8; servers replace what is not."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None or b"%" not in raw:
        return True
    try:
        unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        return False
    return True


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> _Headers:
    found = _Headers()
    for name, value in raw:
        if name == b"accept":
            found.accept = value.decode("latin-1")
        elif name == b"prefer":
            found.prefer += (value.decode("latin-1"),)
        elif name == b"range":
            found.range = value.decode("latin-1")
        elif name == b"accept-profile":
            found.profile = value.decode("utf-8", "replace")
    return found


def _schema(profile: str | None, exposed: Sequence[str]) -> str:
    if profile is None:
        return exposed[0]
    if profile not in exposed:
        raise SchemaNotExposed(profile, exposed)
    return profile


def _location(relation: str, query: str) -> str:
    path = f"/{quote(relation)}"
    return f"{path}?{query}" if query else path
