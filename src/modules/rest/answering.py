"""`Answering`: request → statement → answer, whoever asked for it: HTTP, a batch, a worker, an explanation.

    ApiRequest → Compiled → ResultSet → Answer

Whatever is refused on the way is raised as a `Problem`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from msgspec.structs import replace

from modules.query import (
    Compiled,
    Compiler,
    DataSource,
    Exposure,
    LiveCatalog,
    Mutation,
    RelationNotFound,
    RelationshipNotFound,
    RoutineNotFound,
    Transaction,
    execute_request,
)
from modules.rest.audited import read_of, with_origin
from modules.rest.body import DIFFERENT, INVALID
from modules.rest.conditional import Versions, rows_of
from modules.rest.errors import BodyInvalid, MediaTypeNotAvailable
from modules.rest.guard import Asked, Rules
from modules.rest.guc import SETTINGS, override
from modules.rest.inspection import answer_plan
from modules.rest.media import UNAVAILABLE, not_available
from modules.rest.negotiation import negotiate
from modules.rest.nested_write import NestedOutcome, NestedWrite, NestedWritten, View, closing
from modules.rest.raised import is_about_body, refusal
from modules.rest.rehearsal import HEADER, UNEXPLAINED, Prepared
from modules.rest.request import ApiRequest, parse_request
from modules.rest.response import Answer, build_answer
from modules.rest.timing import OFF, Stopwatch
from modules.rest.transaction import begin_transaction, counting_anew
from modules.rest.vantage import Memories, Vantage
from modules.rest.veil import veil
from monohull.kernel.database.frames import PostgresError
from monohull.kernel.database.role import quoted_search_path
from monohull.kernel.errors import Problem, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from modules.query import ResultSet
    from modules.rest.config import Config, Surroundings
    from modules.rest.guard import Ceilings, Guard
    from modules.rest.paging import Cursors
    from modules.rest.rehearsal import Explainer
    from modules.rest.settings import RestSettings
    from monohull.kernel.database.statements import Isolation
    from monohull.kernel.events import Event
    from monohull.kernel.observation import Observer
    from monohull.kernel.principal import Principal

Publish: TypeAlias = "Callable[[Event], Awaitable[None]]"
T = TypeVar("T")

_STALE: Final = frozenset({"42703", "42P01", "42883", "42704", "3F000"})
"""SQLSTATEs of things that do not exist: perhaps the catalog knows a database that is no more."""

_SEES_EVERYTHING: Final = frozenset({"service_role"})
"""Where the role may not bypass row security itself, its requests run as the owner, which does."""


class Answering:
    """Answers requests of callers by the catalog of now.

    Args:
        config: ``MONOHULL_REST_*``; `configure` replaces it.
        live: The catalog.
        source: Where statements run.
        surroundings: Where it is served.
        publish: Tells the product what happened, for certain.
        observer: Is told of nested writes.
        cursors: Signs the places where pages begin.
        guard: Checks what requests may cost.
    """

    def __init__(  # noqa: PLR0913, PLR0917 each is a part of the process
        self,
        config: Config,
        live: LiveCatalog,
        source: DataSource,
        surroundings: Surroundings,
        publish: Publish,
        observer: Observer,
        cursors: Cursors,
        guard: Guard,
    ) -> None:
        self._observer = observer
        self._cursors = cursors
        self._guard = guard
        self._explainer: Explainer = UNEXPLAINED
        self._publish = publish
        self._surroundings = surroundings
        self._live = live
        self._source = source
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Go by ``config`` from the next request on; requests that run finish by the old one."""
        self._config = config
        self._settings = settings = config.settings
        self._exposure = Exposure(frozenset(settings.schemas), settings.expose, settings.public_keys)
        self._search_paths = {
            schema: quoted_search_path((schema, *settings.extra_search_path)) for schema in settings.schemas
        }
        is_development = self._surroundings.is_development
        self._allows_plan = settings.allows_plan(is_development=is_development)
        self._is_timed = settings.is_timed(is_development=is_development)
        self._vantage: Vantage | None = None
        self._ceilings = Rules(settings.guard)

    def explain_by(self, explainer: Explainer) -> None:
        """Have ``explainer`` asked where a client prefers to know why a request came to nothing."""
        self._explainer = explainer

    @property
    def settings(self) -> RestSettings:
        """What is in force, the configuration in the database included."""
        return self._settings

    async def look_ahead(
        self, scope: Mapping[str, Any], request: ApiRequest, principal: Principal
    ) -> tuple[ApiRequest, Compiled, Isolation | None]:
        """Return what will be asked of the database, and in which isolation; of a nested write the end.

        Raises:
            MediaTypeNotAvailable: PGRST107, the plan of a nested write is wanted, which has many.
        """
        if self.is_nested(request, principal):
            if request.media.explain is not None:
                raise MediaTypeNotAvailable([request.media.explain.media_type])
            request = closing(request)
        _, request, compiled = await self._compile(request, principal)
        return request, compiled, self._transaction(scope, request, compiled, principal).isolation

    def is_nested(self, request: ApiRequest, principal: Principal) -> bool:
        """Say whether rows of several relations come: the body has keys that are no columns, and may have.

        Raises:
            BodyInvalid: PGRST102, its rows are plain, and have different keys.
        """
        if request.nested is None:
            return False
        assert isinstance(request.asked, Mutation)
        asked = request.asked
        relation = self._vantage_of(principal).compiler.catalog.find(asked.schema, asked.relation)
        if relation is not None:
            stored = relation.columns if relation.rule is None else relation.stored
            if any(name not in stored for name in asked.columns):
                return True
        if not request.nested.is_even:
            raise BodyInvalid(DIFFERENT)
        return False

    def versions(
        self, scope: Mapping[str, Any], request: ApiRequest, principal: Principal, source: DataSource | None
    ) -> Versions | None:
        """Return what tells versions of the rows apart that a request is about; None where it is about none.

        Raises:
            QueryProblem: It does not fit the catalog.
        """
        asked = rows_of(request)
        if asked is None:
            return None
        vantage = self._vantage_of(principal)
        if principal.scopes is not None:
            vantage.scopes.demand_target(principal.scopes, asked)
        version = vantage.compiler.version_of(
            asked, role=principal.role, anonymous=self._is_anonymous(principal)
        )
        if principal.scopes is not None:
            vantage.scopes.demand(principal.scopes, asked, version.compiled)
        transaction = self._transaction(scope, request, version.compiled, principal)
        return Versions(version, asked, request.values, transaction, source or self._source)

    async def answer(
        self,
        scope: Mapping[str, Any],
        request: ApiRequest,
        principal: Principal,
        watch: Stopwatch = OFF,
        source: DataSource | None = None,
    ) -> Answer:
        """Answer a read, a write or a call: compile, begin, execute_request, and say what came of it.

        Raises:
            QueryProblem: It does not fit the catalog.
            DatabaseRefused: The database refused the statement.
            Unavailable: There is no catalog, no server, or no free connection.
        """
        if source is not None and self.is_nested(request, principal):
            return await self._answer_nested(scope, request, principal, watch, source)
        memory, request, compiled = await self._compile(request, principal)
        if request.media is UNAVAILABLE:
            raise not_available(request.head.accept)
        transaction = self._transaction(scope, request, compiled, principal)
        if compiled.is_audited:
            transaction = with_origin(transaction, scope)
        if source is not None:
            transaction = counting_anew(transaction, request)
        watch.lap("plan")
        try:
            if (ceilings := self._ceilings.of(principal)) is not None:
                await self._check(ceilings, scope, request, compiled, principal, source)
            if request.media.explain is not None:
                return await self._explain(
                    request, compiled, transaction, principal, watch, is_alone=source is None
                )
            result = await execute_request(
                source or self._source,
                compiled,
                request.values,
                transaction,
                max_exact=self._settings.max_rows,
            )
        except PostgresError as error:
            begins_anew = source is not None and error.is_stale_statement  # whoever began the transaction
            raise (error if begins_anew else self._refused(error, request, principal)) from error
        watch.lap("transaction")
        answer = await self._conclude(request, compiled, result)
        is_usual = not (
            transaction.before or transaction.isolation or compiled.sensitive or any(result.asides)
        )
        if is_usual and watch is OFF and transaction.commit:
            memory.learn(scope, request, compiled, answer)
        if not result.rows and request.preferences.explain_denial:
            await self._explain_nothing(scope, request, principal, answer)
        return answer

    async def _answer_nested(
        self,
        scope: Mapping[str, Any],
        request: ApiRequest,
        principal: Principal,
        watch: Stopwatch,
        source: DataSource,
    ) -> Answer:
        """Write rows that hang together, and answer with those at the top.

        Raises:
            Problem: As `answer` raises it, with its place in the body.
        """
        outcome: NestedOutcome | None = "refused"
        rows = 0
        try:
            nested = await self._plan_nested(request, principal)
            rows = len(nested.rows)
            _, end, compiled = await self._compile(closing(request), principal)
            if end.media is UNAVAILABLE:
                raise not_available(end.head.accept)
            transaction = self._transaction(scope, end, compiled, principal)
            if nested.is_audited:
                transaction = with_origin(transaction, scope)
            transaction = counting_anew(transaction, end)
            watch.lap("plan")
            try:
                left = await nested.write(source, transaction)
                result = await execute_request(source, compiled, nested.values, left)
            except PostgresError as error:
                if error.is_stale_statement:  # whoever began the transaction begins anew
                    outcome = None
                    raise
                raise nested.locate(self._refused(error, request, principal), error) from error
            watch.lap("transaction")
            answer = await self._conclude(end, compiled, result)
            outcome = "written"
        finally:
            if outcome is not None:
                request_id: str = scope["state"]["request_id"]
                self._observer.observe(NestedWritten(outcome=outcome, rows=rows, request_id=request_id))
        return answer

    async def _plan_nested(self, request: ApiRequest, principal: Principal) -> NestedWrite:
        """Find what a nested body means; as `_compile` does, with a second look at the database."""

        def plan(vantage: Vantage) -> NestedWrite:
            anonymous = self._is_anonymous(principal)
            view = View(vantage.compiler, vantage.scopes, principal, anonymous=anonymous)
            return NestedWrite(request, view, self._settings)

        return await self._with_catalog(plan, principal)

    async def _conclude(self, request: ApiRequest, compiled: Compiled, result: ResultSet) -> Answer:
        """Return the answer, and tell of it what has to be told."""
        is_void = compiled.routine is not None and compiled.routine.is_void
        try:
            if compiled.sensitive:
                await self._publish(read_of(request, compiled, result))
            answer = build_answer(request, result, is_void=is_void)
            answer.headers.extend(self._cursors.links(request, result.page))
            if any(result.asides):
                return Answer(*override(answer.status, answer.headers, result.asides), answer.body)
        except BaseException:
            result.close()
            raise
        return answer

    async def admit(
        self,
        scope: Mapping[str, Any],
        request: ApiRequest,
        principal: Principal,
        source: DataSource | None = None,
    ) -> None:
        """Let a request pass that stays below the caller's ceilings, before something else is asked for it.

        Raises:
            Problem: As `answer` raises it before its statement runs.
        """
        ceilings = self._ceilings.of(principal)
        if ceilings is None:
            return
        _, request, compiled = await self._compile(request, principal)
        try:
            await self._check(ceilings, scope, request, compiled, principal, source)
        except PostgresError as error:
            raise self._refused(error, request, principal) from error

    async def _check(  # noqa: PLR0913, PLR0917 a request has these parts
        self,
        ceilings: Ceilings,
        scope: Mapping[str, Any],
        request: ApiRequest,
        compiled: Compiled,
        principal: Principal,
        source: DataSource | None,
    ) -> None:
        vantage = self._vantage_of(principal)
        anonymous = self._is_anonymous(principal)
        transaction = self._transaction(scope, request, compiled, principal)
        if source is None:  # what runs before a statement runs once more before EXPLAIN, and leaves nothing
            transaction = replace(transaction, commit=False)
        asked = Asked(
            request,
            compiled,
            transaction,
            principal,
            lambda: vantage.compiler.plan(request.asked, role=principal.role, anonymous=anonymous),
            vantage.compiler.catalog,
            source or self._source,
            scope["state"]["request_id"],
        )
        await self._guard.admit(asked, ceilings)

    async def _explain_nothing(
        self, scope: Mapping[str, Any], request: ApiRequest, principal: Principal, answer: Answer
    ) -> None:
        """Add to an answer without rows why it has none."""
        explained = await self._explainer.explain_denial(scope, request, principal)
        answer.headers.extend([] if explained is None else [(HEADER.lower().encode(), explained.header)])

    async def answer_explained(
        self,
        scope: Mapping[str, Any],
        request: ApiRequest,
        principal: Principal,
        watch: Stopwatch = OFF,
        source: DataSource | None = None,
    ) -> Answer:
        """Do what `answer` does, and explain refusals too.

        Raises:
            Problem: As `answer` raises it, with the explanation where the caller may have it.
        """
        try:
            return await self.answer(scope, request, principal, watch, source)
        except Problem as problem:
            if not isinstance(problem, Unavailable) and request.nested is None:
                explained = await self._explainer.explain_denial(scope, request, principal)
                if explained is not None:
                    problem.headers = {**problem.headers, HEADER: explained.header.decode()}
                    problem.explanation = explained.document
            raise

    async def prepare(self, scope: Mapping[str, Any], request: ApiRequest, principal: Principal) -> Prepared:
        """Do all that `answer` does before it asks the database.

        Raises:
            QueryProblem: It does not fit the catalog. CatalogMissing: 503, there is none.
            MediaTypeNotAvailable: PGRST107.
        """
        _, request, compiled = await self._compile(request, principal)
        if request.media is UNAVAILABLE:
            raise not_available(request.head.accept)
        vantage = self._vantage_of(principal)
        is_anonymous = self._is_anonymous(principal)
        plan = vantage.compiler.plan(request.asked, role=principal.role, anonymous=is_anonymous)
        transaction = self._transaction(scope, request, compiled, principal)
        hidden = None if principal.columns is None else vantage.compiler.hidden
        return Prepared(request, compiled, plan, transaction, is_anonymous, hidden)

    def parse(self, scope: Mapping[str, Any], body: bytes) -> ApiRequest:
        """Parse a request as it is parsed when it is served.

        Raises:
            Problem: As `parse_request` raises it.
        """
        return parse_request(scope, self._settings, body)

    def refused(self, error: PostgresError, principal: Principal) -> Problem:
        """Return what the database's refusal means that concerns no single request: of a COMMIT, say."""
        return refusal(error, anonymous=self._is_anonymous(principal))

    def _transaction(
        self, scope: Mapping[str, Any], request: ApiRequest, compiled: Compiled, principal: Principal
    ) -> Transaction:
        return begin_transaction(
            scope,
            request.head,
            principal,
            self._search_paths[request.schema],
            read_only=compiled.is_read_only,
            config=self._config,
            routine=() if compiled.routine is None else compiled.routine.settings,
        )

    def _refused(self, error: PostgresError, request: ApiRequest, principal: Principal) -> Problem:
        """Return what the database's refusal means to the client."""
        if error.sqlstate in _STALE:
            self._live.suspect()
        if is_about_body(error, request):
            return BodyInvalid(INVALID)
        if principal.columns is not None:
            error = veil(error, self._vantage_of(principal).compiler.hidden)
        return refusal(error, anonymous=self._is_anonymous(principal))

    def _explain(  # noqa: PLR0913 a plan has these parts
        self,
        request: ApiRequest,
        compiled: Compiled,
        transaction: Transaction,
        principal: Principal,
        watch: Stopwatch,
        *,
        is_alone: bool,
    ) -> Awaitable[Answer]:
        """Answer with the plan of the statement, which names columns that the statement does not.

        Raises:
            MediaTypeNotAvailable: PGRST107, plans are not given out, or not to a caller with hidden columns,
                or not in the midst of a transaction.
        """
        explain = request.media.explain
        is_open = self._allows_plan and principal.columns is None and is_alone
        if explain is not None and not is_open:
            raise MediaTypeNotAvailable([explain.media_type])
        return answer_plan(request, compiled, transaction, self._source, watch)

    async def _compile(
        self, request: ApiRequest, principal: Principal
    ) -> tuple[Memories, ApiRequest, Compiled]:
        """Negotiate and compile; where a name is unknown look once whether the database has it by now.

        Returns what may remember the answer, too; who waits for the database holds no catalog.
        """

        def compile_with(vantage: Vantage) -> tuple[Memories, ApiRequest, Compiled]:
            return vantage.memory, *self._compile_with(vantage, request, principal)

        return await self._with_catalog(compile_with, principal)

    async def _with_catalog(self, plan: Callable[[Vantage], T], principal: Principal) -> T:
        """Plan; where a name is unknown look once whether the database has it by now."""
        vantage = self._vantage_of(principal)
        try:
            return plan(vantage)
        except (RelationNotFound, RelationshipNotFound, RoutineNotFound):
            if await self._live.refreshed(vantage.catalog) is vantage.catalog:
                raise
        return plan(self._vantage_of(principal))

    def _compile_with(
        self, vantage: Vantage, request: ApiRequest, principal: Principal
    ) -> tuple[ApiRequest, Compiled]:
        if principal.scopes is not None:
            vantage.scopes.demand_target(principal.scopes, request.asked)
        request = negotiate(request, vantage.compiler)
        anonymous = self._is_anonymous(principal)
        if request.cursor is not None:
            request = self._cursors.place(request, vantage.compiler, role=principal.role, anonymous=anonymous)
        compiled = vantage.compiler.compile(
            request.asked,
            role=principal.role,
            anonymous=anonymous,
            is_explained=request.media.explain is not None,
        )
        if principal.scopes is not None:
            vantage.scopes.demand(principal.scopes, request.asked, compiled)
        return request, compiled

    def _vantage_of(self, principal: Principal) -> Vantage:
        """Return how the caller sees the catalog of now."""
        catalog = self._live.current()
        vantage = self._vantage
        if vantage is None or vantage.catalog is not catalog:
            compiler = Compiler(
                catalog,
                self._exposure,
                aggregates=self._settings.allows_aggregates,
                bypassing_roles=_SEES_EVERYTHING,
                asides=SETTINGS,
                by_key=self._config.pre_request is None,
            )
            vantage = self._vantage = Vantage(catalog, compiler, self._settings.schemas[0])
            self._guard.forget(self._settings.guard_seconds)
        return vantage if principal.columns is None else vantage.limited(principal.columns)

    def _is_anonymous(self, principal: Principal) -> bool:
        """Say whether a refusal means "sign in" (401) and not "not you" (403): an anonymous key is nobody."""
        return principal.role == self._settings.anon_role
