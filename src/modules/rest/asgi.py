"""The hot path of ``/rest/v1``: raw ASGI, in front of the framework.

A request whose like was answered before goes the short way (`known`); any other is
parsed, and answered by `Answering`.

Whatever is refused on the way is raised as a `Problem`, which the edge renders
with `render_rest_problem`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from modules.query import guarded
from modules.rest.answering import Answering
from modules.rest.batch import PATH as BATCH
from modules.rest.batch_errors import BatchMethodNotAllowed
from modules.rest.cache.learning import Learning
from modules.rest.description.serving import DOCUMENTS_AT
from modules.rest.direct import AskingRead, AskingWrite, RepeatedReads, RepeatedWrites
from modules.rest.head import PREFIX
from modules.rest.idempotency import key_of
from modules.rest.inspection import answer_options, answer_root
from modules.rest.known import Known, Lane, Pieces, View, take_apart
from modules.rest.known_write import METHODS, KnownWrite, WriteLane, lane_of, take_write
from modules.rest.onlooker import Onlooker
from modules.rest.receiving import read_body
from modules.rest.rehearsal import NEVER
from modules.rest.request import WITH_BODY, ApiRequest, parse_request
from modules.rest.response import Answer, outdated_warning
from modules.rest.sending import send_answer
from modules.rest.timing import OFF, Stopwatch
from modules.rest.transaction import bind_settings, template_of
from monohull.kernel.database.frames import PostgresError
from monohull.kernel.database.statements import Statement
from monohull.kernel.departures import Departures
from monohull.kernel.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from modules.query import DataSource, LiveCatalog
    from modules.rest.answering import Publish
    from modules.rest.apart import Values
    from modules.rest.around import Around
    from modules.rest.batch import Batch
    from modules.rest.cache.serving import ResponseCache, Way
    from modules.rest.config import Config, Surroundings
    from modules.rest.description.serving import Documents
    from modules.rest.direct import DirectSource
    from modules.rest.gate import Gate
    from modules.rest.guard import Guard
    from modules.rest.paging import Cursors
    from modules.rest.rehearsal import Deferral
    from modules.rest.vantage import Memories, Vantage
    from monohull.kernel.asgi import Receive, Scope, Send, Work
    from monohull.kernel.database.statements import BoundSettings
    from monohull.kernel.errors import Problem
    from monohull.kernel.exchange import Exchange
    from monohull.kernel.header_sets import HeaderSet
    from monohull.kernel.observation import Observer
    from monohull.kernel.principal import Principal

ROUTE: Final = f"{PREFIX}/{{relation}}"
ROOTS: Final = (PREFIX, f"{PREFIX}/")


class DataApi(Answering):
    """The ASGI application below ``/rest/v1``.

    Args:
        config: ``MONOHULL_REST_*``; `configure` replaces it.
        live: The catalog.
        source: Where statements run.
        surroundings: Where it is served.
        gate: Counts the requests of each caller.
        publish: Tells the product what happened, for certain.
        observer: Is told of nested writes.
        around: Adds what a request asks for around its answer.
        batch: Answers several requests at once.
        cursors: Signs the places where pages begin.
        documents: Answers with descriptions of the API.
        guard: Checks what requests may cost.
        cache: Answers reads of marked tables again.
    """

    def __init__(  # noqa: PLR0913, PLR0917 each is a part of the process
        self,
        config: Config,
        live: LiveCatalog,
        source: DirectSource,
        surroundings: Surroundings,
        gate: Gate,
        publish: Publish,
        observer: Observer,
        around: Around,
        batch: Batch,
        cursors: Cursors,
        documents: Documents,
        guard: Guard,
        cache: ResponseCache,
    ) -> None:
        self._gate = gate
        self._around = around
        self._batch = batch
        self._documents = documents
        self._cache = cache
        self._learning = Learning()
        self._deferral: Deferral = NEVER
        self.departures = Departures()
        self.source = source
        super().__init__(config, live, source, surroundings, publish, observer, cursors, guard)

    def defer_by(self, deferral: Deferral) -> None:
        """Have ``deferral`` promise the calls that a client would rather not wait for."""
        self._deferral = deferral

    @property
    def gate(self) -> Gate:
        """Counts the requests of each caller."""
        return self._gate

    @property
    def cache(self) -> ResponseCache:
        """The answers that are kept."""
        return self._cache

    @property
    def is_timed(self) -> bool:
        """Whether answers say how long each step took."""
        return self._is_timed

    def holds(self, lane: Lane) -> bool:
        """Say whether what is known of a read is still to be gone by."""
        if self._is_timed or lane.facts is not self._cache.line.facts:
            return False
        return lane.mark is self._memory_of(lane.principal).reads.mark

    def holds_write(self, lane: WriteLane) -> bool:
        """Say whether what is known of a write is still to be gone by."""
        return not self._is_timed and lane.mark is self._memory_of(lane.principal).writes.mark

    def _memory_of(self, principal: Principal) -> Memories:
        vantage = self._vantage
        if vantage is None or principal.columns is not None or vantage.catalog is not self._live.now:
            vantage = self._vantage_of(principal)
        return vantage.memory

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Return what answers a request: the short way, if its like was answered before.

        Raises:
            Problem: It is not let in.
        """
        principal = self._admit(scope)
        if scope["method"] == "GET" and not self._is_timed:
            path: bytes | None = scope.get("raw_path")
            if path is not None:
                pieces, given = take_apart(path, scope["query_string"])
                lane = self._recall(scope, pieces, principal)
                if lane is not None:
                    return self.serve_known(lane, given, receive, send)
                if pieces[0].rpartition(b"/")[2] in self._cache.line.facts.names:
                    return self._serve_first(scope, pieces, given, principal, receive, send)
        elif scope["method"] in METHODS and not self._is_timed:
            return self._serve_write(scope, principal, receive, send)
        return self._serve(scope, principal, receive, send)

    def begin(self, scope: Scope, receive: Receive, exchange: Exchange) -> Work | None:
        """Begin with a request that can be answered without a task; return what is left to be awaited.

        Raises:
            Problem: It is not let in.
        """
        principal = self._admit(scope)
        if scope["method"] == "GET" and not self._is_timed:
            return self._begin_read(scope, principal, receive, exchange)
        if scope["method"] in METHODS and not self._is_timed:
            return self._begin_write(scope, principal, receive, exchange)
        return self._serve(scope, principal, receive, exchange.send)

    def _begin_read(
        self, scope: Scope, principal: Principal, receive: Receive, exchange: Exchange
    ) -> Work | None:
        pieces, given = take_apart(scope["raw_path"], scope["query_string"])
        lane = self._recall(scope, pieces, principal)
        if lane is None:
            if pieces[0].rpartition(b"/")[2] in self._cache.line.facts.names:
                return self._serve_first(scope, pieces, given, principal, receive, exchange.send)
            return self._serve(scope, principal, receive, exchange.send)
        if exchange.may_repeat:
            admits, headers = self._gate.admission(principal, scope), scope["state"]["headers"]
            exchange.repeat_by(RepeatedReads(self, scope["raw_path"], headers, principal, admits).find)
        if lane.way is not None:
            kept = self._cache.find_lines(lane.way, given)
            if kept is not None:
                exchange.answer(*kept)
                return None
        elif AskingRead(self, lane, given).is_sent(self.source, exchange, receive):
            return None
        return self.serve_known(lane, given, receive, exchange.send)

    def _begin_write(
        self, scope: Scope, principal: Principal, receive: Receive, exchange: Exchange
    ) -> Work | None:
        send = exchange.send
        raw = exchange.take_body() if scope["method"] in WITH_BODY else b""
        if raw is None:
            return self._serve_write(scope, principal, receive, send)
        recalled = self.recall_write(scope, raw, principal)
        if recalled is None:
            return self._serve(scope, principal, receive, send, raw)
        if scope["method"] == "POST" and exchange.may_repeat:
            admits = self._gate.admission(principal, scope)
            exchange.repeat_by(RepeatedWrites(self, scope, principal, len(raw), admits).find)
        recalled = recalled[0].take_apart(raw) or recalled
        if AskingWrite(self, *recalled, scope=scope, raw=raw).is_sent(self.source, exchange, receive):
            return None
        return self.serve_known_write(scope, *recalled, raw, receive, send)

    def _admit(self, scope: Scope) -> Principal:
        """Return who asks, if they may ask now.

        Raises:
            Problem: They may not.
        """
        state = scope["state"]
        state["route"] = ROUTE
        if (problem := state.get("credential_problem")) is not None:
            raise problem
        principal: Principal = state["principal"]
        if principal.is_default and (self._surroundings.demands_key or self._settings.anon_role is None):
            raise Unauthenticated("Anonymous access is disabled")
        self._gate.admit(principal, scope)
        return principal

    async def _serve(
        self, scope: Scope, principal: Principal, receive: Receive, send: Send, body: bytes | None = None
    ) -> None:
        if scope["method"] == "OPTIONS":
            await send_answer(receive, send, answer_options(scope, self._onlooker(principal)))
            return
        watch = Stopwatch(scope["state"].get("authentication_seconds", 0.0)) if self._is_timed else OFF
        if scope["path"] in ROOTS and self._settings.root_spec is None:
            with self.departures.watch(receive):
                answer = await answer_root(scope, self._onlooker(principal), self.source, watch)
        elif scope["path"] in DOCUMENTS_AT:
            with self.departures.watch(receive):
                answer = await self._documents.answer(scope, self._onlooker(principal), self.source, watch)
        elif scope["path"] == BATCH:
            if scope["method"] != "POST":
                raise BatchMethodNotAllowed(scope["method"])
            body = await read_body(receive) if body is None else body
            with self.departures.watch(receive):
                answer = await self._batch.answer(self, scope, body, principal)
        else:
            if body is None:
                body = await read_body(receive) if scope["method"] in WITH_BODY else b""
            request = parse_request(scope, self._settings, body)
            watch.lap("parse")
            answers: Callable[..., Awaitable[Answer]] = partial(self.respond, body=body)
            if request.preferences.respond_async and key_of(scope["headers"]) is None:
                answers = partial(self._deferral.answer, answers)
            with self.departures.watch(receive):
                answer = await answers(scope, request, principal, watch)
            if request.outdated:
                answer.headers.append(outdated_warning(request.outdated))
        if watch is not OFF:
            watch.lap("response")
            answer.headers.append(watch.header())
        await send_answer(receive, send, answer)

    async def respond(  # noqa: PLR0913 a request has these parts
        self,
        scope: Mapping[str, Any],
        request: ApiRequest,
        principal: Principal,
        watch: Stopwatch = OFF,
        *,
        body: bytes,
        source: DataSource | None = None,
    ) -> Answer:
        """Do what `answer` does, with all that the request asks for around it; see `Around.answer`."""
        return await self._around.answer(
            self, scope, request, principal, body=body, watch=watch, source=source
        )

    def _recall(self, scope: Mapping[str, Any], pieces: Pieces, principal: Principal) -> Lane | None:
        """Return what is known of a read like this one, as the caller sends it.

        Raises:
            RelationClosed: MH100, a relation in it is closed to the role.
            ScopeMissing: MH103, the key's scopes lack something that it touches.
            InvalidRequest: A header holds a zero byte.
        """
        vantage = self._vantage_of(principal)
        memory = vantage.memory.reads
        headers: HeaderSet = scope["state"]["headers"]
        facts = self._cache.line.facts
        lane: Lane | None = headers.notes.get(pieces)
        if (
            lane is not None
            and lane.mark is memory.mark
            and lane.principal is principal
            and lane.facts is facts
        ):
            return lane
        known = memory.find(headers, pieces)
        way = None if known is None else self._way(vantage, known, scope, principal)
        if known is None or way is None:
            return None
        view = known.views[principal.role]
        cached = self._cache.way(known, view, vantage.compiler, principal, headers.by_name)
        lane = Lane(memory.mark, known, principal, *way, facts, cached)
        headers.note(pieces, lane)
        return lane

    def recall_write(self, scope: Scope, raw: bytes, principal: Principal) -> tuple[WriteLane, Values] | None:
        """Return what is known of a write like this one, as the caller sends it, and its values.

        Raises:
            RelationClosed, ScopeMissing, InvalidRequest: As `_recall` raises them.
        """
        vantage = self._vantage_of(principal)
        memory = vantage.memory.writes
        headers: HeaderSet = scope["state"]["headers"]
        if not len(memory) or (sent := take_write(scope, headers, raw)) is None:
            return None
        lane: WriteLane | None = headers.notes.get(sent.key)
        if lane is None or lane.mark is not memory.mark or lane.principal is not principal:
            known = memory.find(sent)
            way = None if known is None else self._way(vantage, known, scope, principal)
            if known is None or way is None:
                return None
            lane = lane_of(memory.mark, known, principal, way)
            headers.note(sent.key, lane)
        return lane, sent.values

    def _way(
        self, vantage: Vantage, known: Known | KnownWrite, scope: Mapping[str, Any], principal: Principal
    ) -> tuple[str, BoundSettings] | None:
        """Return the key and the settings by which the caller sends what is known; None for the whole way.

        Raises:
            RelationClosed, ScopeMissing, InvalidRequest: As `_recall` raises them.
        """
        if self._ceilings.of(principal) is not None:
            return None
        if principal.scopes is not None:
            vantage.scopes.demand(principal.scopes, known.request.asked, known.compiled)
        view = known.views.get(principal.role) or self._look(vantage, known, scope, principal)
        if view is None:
            return None
        headers: HeaderSet = scope["state"]["headers"]
        return view.key, bind_settings(view.settings, principal, scope["headers"], headers)

    def _look(
        self, vantage: Vantage, known: Known | KnownWrite, scope: Mapping[str, Any], principal: Principal
    ) -> View | None:
        """Return how the caller's role sends what is known; None where that takes more than settings."""
        head, role, config = known.request.head, principal.role, self._config
        self._compile_with(vantage, known.request, principal)
        read_only = known.compiled.is_read_only
        if config.pre_request or config.of_role(role).isolation or (read_only and config.read_isolation):
            return None
        template = template_of(
            scope, head, role, self._search_paths[head.schema], read_only=read_only, config=config
        )
        return known.view(role, template)

    async def _serve_write(self, scope: Scope, principal: Principal, receive: Receive, send: Send) -> None:
        """Answer a write: the short way, if its like was answered before.

        Raises:
            Problem: As `answer` raises it.
        """
        raw = await read_body(receive) if scope["method"] in WITH_BODY else b""
        recalled = self.recall_write(scope, raw, principal)
        if recalled is None:
            await self._serve(scope, principal, receive, send, raw)
            return
        recalled = recalled[0].take_apart(raw) or recalled
        await self.serve_known_write(scope, *recalled, raw, receive, send)

    async def serve_document(
        self, scope: Scope, principal: Principal, raw: bytes, receive: Receive, send: Send
    ) -> None:
        """Answer a write whose body the database takes apart.

        Raises:
            Problem: As `answer` raises it.
        """
        recalled = self.recall_write(scope, raw, principal)
        if recalled is None:
            await self._serve(scope, principal, receive, send, raw)
        else:
            await self.serve_known_write(scope, *recalled, raw, receive, send)

    async def serve_known_write(  # noqa: PLR0913, PLR0917 a request has these parts
        self,
        scope: Scope,
        lane: WriteLane,
        values: Values,
        raw: bytes,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer a known write.

        Raises:
            Problem: As `answer` raises it.
        """
        known = lane.known
        statement = Statement(known.compiled.statement.text, known.args.fill(values), lane.key)
        try:
            with self.departures.watch(receive):
                rows = await self.source.run_known(statement, lane.settings)
        except PostgresError as error:
            if not lane.asks_anew(error):
                raise guarded(error) or self.refused_write(error, scope, raw, lane) from error
            rows = None
        if rows is None:
            await self.serve_document(scope, lane.principal, raw, receive, send)
            return
        answer = known.answer(rows)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    def refused_read(self, error: PostgresError, lane: Lane) -> Problem:
        """Return what the database's refusal of a known read means."""
        return self._refused(error, lane.known.request, lane.principal)

    def refused_write(self, error: PostgresError, scope: Scope, raw: bytes, lane: WriteLane) -> Problem:
        """Return what the database's refusal of a known write means, which may be about its body."""
        return self._refused(error, self.parse(scope, raw), lane.principal)

    async def serve_known(self, lane: Lane, given: list[bytes], receive: Receive, send: Send) -> None:
        """Answer a known read.

        Raises:
            DatabaseRefused: The database refused the statement.
            Unavailable: There is no server, or no free connection.
        """
        if lane.way is not None:
            await self._serve_cached(lane, lane.way, given, receive, send)
            return
        known = lane.known
        statement = Statement(known.compiled.statement.text, known.args.fill(given), lane.key)
        try:
            with self.departures.watch(receive):
                rows = await self.source.run_known(statement, lane.settings)
        except PostgresError as error:
            raise self.refused_read(error, lane) from error
        answer = known.answer(given, rows)
        if isinstance(answer.body, bytes):
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            await send({"type": "http.response.body", "body": answer.body})
        else:
            await send_answer(receive, send, answer)

    async def _serve_first(  # noqa: PLR0913, PLR0917 a request has these parts
        self,
        scope: Scope,
        pieces: Pieces,
        given: list[bytes],
        principal: Principal,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer a read of a marked table whose kind is not known: the whole way, and once for all of it.

        Raises:
            Problem: As `answer` raises it.
        """
        serve = partial(self._serve, scope, principal, receive, send)
        memory, headers = self._vantage_of(principal).memory.reads, scope["state"]["headers"]
        kind = memory.kind(headers, pieces)
        if kind is None:
            await serve()
            return
        if await self._learning.first(kind, serve, lambda: memory.find(headers, pieces) is not None):
            return
        lane = self._recall(scope, pieces, principal)
        await (serve() if lane is None else self.serve_known(lane, given, receive, send))

    async def _serve_cached(
        self, lane: Lane, way: Way, given: list[bytes], receive: Receive, send: Send
    ) -> None:
        """Answer a known read of marked tables.

        Raises:
            DatabaseRefused, Unavailable: As `_serve_known` raises them.
        """
        answer = self._cache.find(way, given)
        if answer is not None:
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            await send({"type": "http.response.body", "body": answer.body})
            return
        known = lane.known
        statement = Statement(known.compiled.statement.text, known.args.fill(given), lane.key)
        fill = partial(self.source.run_known, statement, lane.settings)
        try:
            with self.departures.watch(receive):
                answer = await self._cache.answer(way, known, given, fill)
        except PostgresError as error:
            raise self.refused_read(error, lane) from error
        await send_answer(receive, send, answer)

    def _onlooker(self, principal: Principal) -> Onlooker:
        vantage, is_anonymous = self._vantage_of(principal), self._is_anonymous(principal)
        address = self._surroundings.address
        return Onlooker(principal, is_anonymous, vantage.compiler, vantage.scopes, self._config, address)
