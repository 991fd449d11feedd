"""``GET /rest/v1/openapi.json`` and ``/rest/v1/postman.json``: made once for callers who see the same.

A document is kept until the structure of the database was read again, for a
minute at most: grants may change without anybody saying so. Its entity tag is
made of what is in it, so that who asks again for the same is answered 304.
Several who ask at once wait for one of them.

Where a function runs before each request, it has the say, and nothing is kept.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import Struct

from modules.query import in_slices
from modules.rest.description.facts import SQL, read_facts
from modules.rest.description.openapi import MEDIA_TYPE as OPENAPI
from modules.rest.description.openapi import write_openapi
from modules.rest.description.parts import Place
from modules.rest.description.postman import MEDIA_TYPE as POSTMAN
from modules.rest.description.postman import write_postman
from modules.rest.description.seeing import Eyes, narrow
from modules.rest.errors import MediaTypeNotAvailable, MethodNotSupported, RootNotDescribed
from modules.rest.etags import conditions_of
from modules.rest.head import PREFIX
from modules.rest.metrics import DOCUMENTS
from modules.rest.raised import refusal
from modules.rest.request import READS, parse_head
from modules.rest.response import Answer
from modules.rest.scopes import Sight
from modules.rest.transaction import begin_transaction
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.database.frames import PostgresError
from monohull.kernel.database.role import quoted_search_path
from monohull.kernel.database.statements import Statement
from monohull.kernel.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.query import DataSource, LiveCatalog, Steps, Transaction
    from modules.rest.onlooker import Onlooker
    from modules.rest.timing import Stopwatch
    from monohull.kernel.metrics import Metrics
    from monohull.kernel.observation import Observer, Reader

Kind: TypeAlias = Literal["openapi", "postman"]
Key: TypeAlias = tuple[Any, ...]

DOCUMENTS_AT: Final[Mapping[str, Kind]] = {
    f"{PREFIX}/openapi.json": "openapi",
    f"{PREFIX}/postman.json": "postman",
}
MAX_KEPT_BYTES: Final = 32 * 1024 * 1024
MAX_AGE_SECONDS: Final = 60.0

_MEDIA: Final = {"openapi": OPENAPI, "postman": POSTMAN}
_ACCEPTED: Final = frozenset(
    {
        "*/*",
        "application/*",
        "application/json",
        "application/openapi+json",
        "application/vnd.oai.openapi+json",
    }
)
_DIGEST_BYTES: Final = 16


class DocumentAnswered(Observation, frozen=True, kw_only=True):
    """A description was asked for: it was made, was there, or the client had it."""

    event = "rest.document_answered"
    level = "debug"

    kind: Kind
    outcome: Literal["made", "kept", "known"]
    size_bytes: int
    request_id: str


class _Document(Struct, frozen=True):
    """One that is kept, with what has to live as long as its key."""

    body: bytes
    tag: str
    made_at: float
    held: Any


class Documents:
    """Answers with descriptions of the data API.

    Args:
        live: The catalog.
        observer: Told of each.
        demands_key: Whether a request without a credential is refused.
    """

    def __init__(self, live: LiveCatalog, observer: Observer, *, demands_key: bool) -> None:
        self._live = live
        self._observer = observer
        self._demands_key = demands_key
        self._kept: OrderedDict[Key, _Document] = OrderedDict()
        self._kept_bytes = 0
        self._making: dict[Key, asyncio.Lock] = {}

    async def answer(
        self, scope: Mapping[str, Any], onlooker: Onlooker, source: DataSource, watch: Stopwatch
    ) -> Answer:
        """Return the document at the path of ``scope`` for whoever asks.

        Raises:
            MethodNotSupported: PGRST117, it can be read alone.
            MediaTypeNotAvailable: PGRST107, it is JSON.
            RootNotDescribed: PGRST126, descriptions are switched off.
            DatabaseRefused: The database refused the statement.
        """
        if scope["method"] not in READS:
            raise MethodNotSupported(scope["method"])
        kind = DOCUMENTS_AT[scope["path"]]
        settings = onlooker.config.settings
        if settings.openapi_mode == "disabled":
            raise RootNotDescribed
        head = parse_head(scope, settings)
        _demand_json(head.accept)
        watch.lap("parse")
        principal = onlooker.principal
        key = (
            kind,
            self._live.reads,
            id(onlooker.config),
            head.schema,
            principal.role,
            principal.scopes,
            principal.columns,
        )
        document = None if onlooker.config.pre_request else self._find(key)
        outcome: Literal["made", "kept", "known"] = "kept"
        if document is None:
            lock = self._making.setdefault(key, asyncio.Lock())
            try:
                async with lock:
                    document = None if onlooker.config.pre_request else self._find(key)
                    if document is None:
                        outcome = "made"
                        document = await self._make(kind, scope, head.schema, onlooker, source)
                        if not onlooker.config.pre_request:
                            self._keep(key, document)
            finally:
                if not lock.locked():
                    self._making.pop(key, None)
        watch.lap("transaction")
        conditions = conditions_of(scope)
        is_known = conditions is not None and conditions.know(document.tag)
        self._observer.observe(
            DocumentAnswered(
                kind=kind,
                outcome="known" if is_known else outcome,
                size_bytes=len(document.body),
                request_id=scope["state"]["request_id"],
            )
        )
        headers = [
            (b"etag", document.tag.encode()),
            (b"cache-control", b"private, no-cache"),
            (b"vary", b"authorization, apikey, accept-profile"),
        ]
        if is_known:
            return Answer(304, headers, b"")
        headers += [
            (b"content-type", _MEDIA[kind].encode()),
            (b"content-length", str(len(document.body)).encode()),
        ]
        if head.is_profiled:
            headers.append((b"content-profile", head.schema.encode()))
        return Answer(200, headers, b"" if head.method == "HEAD" else document.body)

    async def _make(
        self, kind: Kind, scope: Mapping[str, Any], schema: str, onlooker: Onlooker, source: DataSource
    ) -> _Document:
        settings = onlooker.config.settings
        transaction = begin_transaction(
            scope,
            parse_head(scope, settings),
            onlooker.principal,
            quoted_search_path((schema, *settings.extra_search_path)),
            read_only=True,
            config=onlooker.config,
        )
        try:
            found = await _ask(
                source, transaction, schema, everything=settings.openapi_mode != "follow-privileges"
            )
        except PostgresError as error:
            raise refusal(error, anonymous=onlooker.is_anonymous) from error
        place = Place(
            settings.openapi_server_proxy_uri or onlooker.address, self._demands_key, settings.schemas
        )
        body = await in_slices(_written(kind, schema, found, onlooker, place))
        tag = f'"{hashlib.blake2b(body, digest_size=_DIGEST_BYTES).hexdigest()}"'
        return _Document(body, tag, monotonic_seconds(), onlooker.config)

    def _find(self, key: Key) -> _Document | None:
        document = self._kept.get(key)
        if document is None:
            return None
        if monotonic_seconds() - document.made_at > MAX_AGE_SECONDS:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return document

    def _keep(self, key: Key, document: _Document) -> None:
        for old in [one for one in self._kept if one[1] != key[1]]:  # of an older catalog
            self._drop(old)
        self._kept[key] = document
        self._kept_bytes += len(document.body)
        while self._kept_bytes > MAX_KEPT_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        self._kept_bytes -= len(self._kept.pop(key).body)


async def _ask(source: DataSource, transaction: Transaction, schema: str, *, everything: bool) -> bytes:
    ignores = "true" if everything else "false"
    statement = Statement(SQL, (schema, ignores), f"facts.{transaction.plan_key}")
    results = await source.run_batch(
        (*transaction.before, statement), settings=transaction.settings, commit=transaction.commit
    )
    document = results[-1].rows[0][0]
    assert document is not None
    return document


def _written(kind: Kind, schema: str, found: bytes, onlooker: Onlooker, place: Place) -> Steps[bytes]:
    facts = yield from read_facts(schema, found)
    facts = yield from narrow(facts, _eyes(schema, onlooker))
    catalog = onlooker.compiler.catalog
    if kind == "openapi":
        return (yield from write_openapi(facts, catalog, place))
    return (yield from write_postman(facts, catalog, place))


def _eyes(schema: str, onlooker: Onlooker) -> Eyes:
    principal = onlooker.principal
    closed = frozenset(name for of, name in onlooker.compiler.closed_to(principal.role) if of == schema)
    scopes = principal.scopes
    sight = None if scopes is None else Sight(onlooker.scopes, scopes, schema)
    return Eyes(closed, sight, principal.columns)


def _demand_json(accept: str) -> None:
    wanted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    if not _ACCEPTED.intersection(wanted):
        raise MediaTypeNotAvailable(wanted)


def document_metrics(metrics: Metrics) -> Reader:
    """Return the reader that counts descriptions."""
    documents = metrics.counter(DOCUMENTS)

    def read(observation: Observation) -> None:
        if isinstance(observation, DocumentAnswered):
            documents.labels(observation.kind, observation.outcome).inc()

    return read
