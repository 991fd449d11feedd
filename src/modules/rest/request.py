"""HTTP → `ApiRequest`: every part parsed, nothing judged.

There is no guarantee that the intent is sensible; whether the relation exists
is for the planner to say.

Source: PostgREST 16, ``ApiRequest.hs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct

from modules.query import EmbedNotSelected, Mutation, Read, Request
from modules.rest.asked_page import take_cursor
from modules.rest.call import parse_call
from modules.rest.errors import (
    CallMethodNotAllowed,
    MethodNotSupported,
    PathInvalid,
    SchemaNotExposed,
)
from modules.rest.head import PREFIX, Head, Kind
from modules.rest.media import JSON, Media, find_media
from modules.rest.preferences import NONE, Preferences, parse_preferences
from modules.rest.ranges import WHOLE, Page, parse_range
from modules.rest.root import demand_description
from modules.rest.shapes import Shape, Shapes
from modules.rest.write import parse_nested, parse_write, takes_nested

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from modules.query import Selection
    from modules.rest.parameters import Parameters
    from modules.rest.settings import RestSettings
    from modules.rest.write import Nested

MAX_KEPT: Final = 1000
"""Heads and reads that are remembered; the oldest goes. A head takes a kilobyte at most."""
MAX_KEPT_BYTES: Final = 1024

_READ_HEADERS: Final = (
    b"accept",
    b"accept-profile",
    b"content-profile",
    b"content-type",
    b"range",
    b"prefer",
)
_heads: Final[dict[tuple[Any, ...], tuple[RestSettings, Head]]] = {}
_reads: Final[dict[tuple[int, int], tuple[RestSettings, Head, Selection, Read]]] = {}
_shapes: Final = Shapes()

READS: Final = ("GET", "HEAD")
WRITES: Final = ("POST", "PATCH", "PUT", "DELETE")
WITH_BODY: Final = ("POST", "PATCH", "PUT")
_CALL_METHODS: Final = ("GET", "HEAD", "POST")


class ApiRequest(Struct, frozen=True):
    """A request as it was made.

    Attributes:
        head: Request line and headers.
        asked: What is wanted, without values: the shape.
        values: Values by slot; the body is one of them.
        page: The rows wanted, after the ceiling.
        location: Canonical path and query, for ``Content-Location``; empty for a call.
        outdated: Embeds that were named as they will not be known for ever; see `Parameters`.
        nested: What the body is where it may hold rows of several relations.
        cursor: Where the page begins; empty for the first page, None where nobody asks for pages by cursor.
        binding: What cursors of this request belong to, once they are looked at.
    """

    head: Head
    asked: Request
    values: Sequence[str | bytes]
    page: Page
    location: str
    outdated: tuple[tuple[str, str], ...] = ()
    nested: Nested | None = None
    cursor: str | None = None
    binding: bytes = b""

    @property
    def media(self) -> Media:
        return self.head.media

    @property
    def preferences(self) -> Preferences:
        return self.head.preferences

    @property
    def schema(self) -> str:
        return self.head.schema

    @property
    def profile(self) -> str | None:
        """Schema to echo, None when there is only one."""
        return self.head.schema if self.head.is_profiled else None


class _Headers(Struct):
    """The headers that are looked at."""

    accept: str = "*/*"
    accept_profile: str | None = None
    content_profile: str | None = None
    content_type: str = ""
    range: str | None = None
    prefer: tuple[str, ...] = ()


def parse_request(scope: Mapping[str, Any], settings: RestSettings, body: bytes = b"") -> ApiRequest:
    """Parse an ASGI scope and a body.

    Raises:
        Problem: What `parse_head`, `parse_parameters` and `parse_write` refuse.
    """
    head = _remembered_head(scope, settings)
    query: bytes = scope["query_string"]
    cursor: str | None = None
    if head.kind == "function":
        parameters = _shapes.parse(
            query,
            range_page=head.range_page,
            max_rows=settings.max_rows,
            takes_arguments=head.method in READS,
        )
        refuse_outdated(parameters, settings)
        call = parse_call(head, parameters, body, max_rows=settings.max_rows)
        return ApiRequest(head, *call, parameters.page, "", parameters.outdated)
    asked: Request
    values: Sequence[str | bytes]
    if head.method in READS:
        query, cursor = take_cursor(scope, query, is_wanted=head.preferences.pagination is not None)
        parameters = _shapes.parse(query, range_page=head.range_page, max_rows=settings.max_rows)
        asked = _remembered_read(head, parameters, settings)
        values = parameters.values
    else:
        parameters = _shapes.parse(query, range_page=WHOLE, max_rows=None)
        refuse_outdated(parameters, settings)
        if takes_nested(head):
            asked, values, nested = parse_nested(head, parameters, body)
            return ApiRequest(head, asked, values, parameters.page, "", parameters.outdated, nested)
        asked, values = parse_write(head, parameters, body)
        return ApiRequest(head, asked, values, parameters.page, "", parameters.outdated)
    refuse_outdated(parameters, settings)
    location = _location(head.name, parameters.canonical)
    return ApiRequest(head, asked, values, parameters.page, location, parameters.outdated, cursor=cursor)


def recall_shape(query: bytes, max_rows: int | None) -> tuple[Shape, list[bytes]] | None:
    """Return how a read's query was understood, and its values as they stand there, if it is known."""
    return _shapes.recall(query, max_rows)


def refuse_outdated(parameters: Parameters, settings: RestSettings) -> None:
    """Hold clients to aliases where the settings say so.

    Raises:
        EmbedNotSelected: PGRST108.
    """
    if parameters.outdated and not settings.url_use_legacy_target_names:
        raise EmbedNotSelected(
            parameters.outdated[0][0],
            details="Target names are not allowed in filters if they have an alias",
        )


def _remembered_head(scope: Mapping[str, Any], settings: RestSettings) -> Head:
    """Do what `parse_head` does, which depends on what is in the key and on the settings alone."""
    headers: Mapping[bytes, bytes] | None = scope["state"]["headers"].by_name
    if headers is None:  # one is repeated
        return parse_head(scope, settings)
    key = (scope["method"], scope["path"], scope.get("raw_path"), *map(headers.get, _READ_HEADERS))
    kept = _heads.get(key)
    if kept is not None and kept[0] is settings:
        return kept[1]
    head = parse_head(scope, settings)
    if sum(len(part) for part in key if part is not None) <= MAX_KEPT_BYTES:
        _heads[key] = settings, head
        if len(_heads) > MAX_KEPT:
            del _heads[next(iter(_heads))]
    return head


def _remembered_read(head: Head, parameters: Parameters, settings: RestSettings) -> Read:
    """Return the same object for the same request: its hash is known, and it is found without comparing."""
    key = id(head), id(parameters.selection)
    kept = _reads.get(key)
    if kept is not None and kept[0] is settings:
        return kept[3]
    read = _read(head, parameters, settings)
    _reads[key] = settings, head, parameters.selection, read  # held, so that their ids stay theirs
    if len(_reads) > MAX_KEPT:
        del _reads[next(iter(_reads))]
    return read


def parse_head(scope: Mapping[str, Any], settings: RestSettings) -> Head:
    """Parse request line and headers.

    Raises:
        PathInvalid: PGRST125, and the other refusals of `parse_target`.
        SchemaNotExposed: PGRST106.
        PreferencesInvalid: PGRST122.
        MediaTypeNotAvailable: PGRST107, for the root.
        RangeNotSatisfiable: PGRST103.
    """
    headers = _headers(scope["headers"])
    kind, name = parse_target(scope, settings.root_spec)
    method: str = scope["method"]
    profile = headers.accept_profile if method in READS else headers.content_profile
    schema = _schema(profile, settings.schemas)
    preferences = (
        parse_preferences(headers.prefer, allows_tx=settings.allows_override) if headers.prefer else NONE
    )
    is_ranged = headers.range is not None and method == "GET"
    return Head(
        method,
        kind,
        name,
        schema,
        preferences,
        headers.accept,
        _media(kind, headers.accept),
        headers.content_type,
        parse_range(headers.range) if is_ranged and headers.range is not None else WHOLE,
        len(settings.schemas) > 1,
    )


def _media(kind: Kind, accept: str) -> Media:
    if kind != "root":
        return find_media(accept)
    demand_description(accept)
    return JSON


def parse_target(scope: Mapping[str, Any], root_spec: str | None = None) -> tuple[Kind, str]:
    """Return what the path names; ``root_spec`` is the function that describes the API in our place.

    Raises:
        PathInvalid: PGRST125.
        CallMethodNotAllowed: PGRST101.
        MethodNotSupported: PGRST117.
    """
    path: str = scope["path"]
    name = path.removeprefix(PREFIX).removeprefix("/")
    method: str = scope["method"]
    if not name:
        if method not in READS:
            raise MethodNotSupported(method)
        return ("root", "") if root_spec is None else ("function", root_spec)
    kind: Kind = "relation"
    if name.startswith("rpc/") and name.count("/") == 1:
        kind, name = "function", name[len("rpc/") :]
        if method not in _CALL_METHODS:
            raise CallMethodNotAllowed(method)
    if "/" in name or "\x00" in name or not _is_text(scope):
        raise PathInvalid
    if method not in READS and method not in WRITES:
        raise MethodNotSupported(method)
    return kind, name


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
            found.accept_profile = value.decode("utf-8", "replace")
        elif name == b"content-profile":
            found.content_profile = value.decode("utf-8", "replace")
        elif name == b"content-type":
            found.content_type = value.decode("latin-1")
    return found


def parse_profile(scope: Mapping[str, Any], settings: RestSettings) -> str:
    """Return the schema that a request without a body is about.

    Raises:
        SchemaNotExposed: PGRST106.
    """
    return _schema(_headers(scope["headers"]).accept_profile, settings.schemas)


def _schema(profile: str | None, exposed: Sequence[str]) -> str:
    if profile is None:
        return exposed[0]
    if profile not in exposed:
        raise SchemaNotExposed(profile, exposed)
    return profile


def _read(head: Head, parameters: Parameters, settings: RestSettings) -> Read:
    return Read(
        schema=head.schema,
        relation=head.name,
        selection=parameters.selection,
        shape="none" if head.method == "HEAD" else head.media.shape,
        count=head.preferences.count,
        strip_nulls=head.media.strip_nulls,
        max_rows=settings.max_rows,
    )


def _location(relation: str, query: str) -> str:
    path = f"/{quote(relation)}"
    return f"{path}?{query}" if query else path


__all__ = ["PREFIX", "READS", "WITH_BODY", "ApiRequest", "Head", "Mutation", "parse_head", "parse_request"]
