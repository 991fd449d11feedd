"""`Explanations`: what a request would come to, and why, found by doing it and undoing it.

Without the database: route → credential → rate rules → key scope → catalog and exposure → column rules.
Then, in one transaction that is rolled back: the request itself → privileges → rows, one policy at a time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from modules.policy.columns import blame_rule, examine_columns
from modules.policy.events import PolicyExplained
from modules.policy.findings import Caller, Culprit, Explanation, Findings, Step
from modules.policy.held import hold
from modules.policy.judging import Judge
from modules.policy.rates import examine_rates
from modules.policy.reads import examine_read
from modules.policy.relations import examine_privileges
from modules.policy.surroundings import before_the_catalog, before_the_database
from modules.policy.writes import WriteExamination
from modules.query import CallPlan, ColumnAbsent, ColumnNotWritable, DocumentPlan, touched
from modules.rest import refused, rehearse
from monohull.kernel.database.frames import PostgresError
from monohull.kernel.errors import Problem, Unavailable
from monohull.kernel.outbox import publish

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.policy.findings import Kind
    from modules.policy.held import Held
    from modules.rest import ApiRequest, DataApi, Outcome, Prepared
    from monohull.kernel.principal import Principal
    from monohull.kernel.runtime import Runtime

DEFAULT_ROWS: Final = 5
MAX_ROWS: Final = 50
AT_A_TIME: Final = 2
"""Explanations of a process; each has a connection of its own."""


class Explanations:
    """Explains requests of the data API.

    Args:
        runtime: Of this process.
        api: What would serve them.
    """

    def __init__(self, runtime: Runtime, api: DataApi) -> None:
        self._runtime = runtime
        self._api = api
        self._slots = asyncio.Semaphore(AT_A_TIME)

    async def explain(
        self,
        scope: Mapping[str, Any],
        body: bytes,
        principal: Principal,
        *,
        rows: int = DEFAULT_ROWS,
        shows_rows: bool = True,
    ) -> Explanation:
        """Explain a request that somebody describes.

        Args:
            scope: ASGI's, with the principal in its state.
            body: Of the request.
            principal: Whom it is tried as.
            rows: How many rows are examined, at most `MAX_ROWS`.
            shows_rows: Keys of rows, and columns that policies read, may be told.

        Raises:
            Problem: The request does not parse. DatabaseUnavailable: 503.
        """
        request = self._api.parse(scope, body)
        findings = Findings()
        await examine_rates(self._runtime, self._api, scope, principal, findings)
        return await self.explain_parsed(
            scope, request, principal, rows=rows, shows_rows=shows_rows, found=findings
        )

    async def explain_parsed(  # noqa: PLR0913 what there is to know
        self,
        scope: Mapping[str, Any],
        request: ApiRequest,
        principal: Principal,
        *,
        rows: int = DEFAULT_ROWS,
        shows_rows: bool = True,
        found: Findings | None = None,
    ) -> Explanation:
        """Explain a request that was parsed already; as `explain`.

        One that was admitted has passed the rate rules; of others ``found`` is what these would say.
        """
        findings = Findings() if found is None else found
        findings.precede(*before_the_database(request, principal, self._api.settings))
        findings.add(*before_the_catalog(principal))
        async with self._slots:
            outcome = await self._examine(scope, request, principal, findings, rows, shows_rows=shows_rows)
        explanation = _explanation(scope, principal, outcome, findings)
        if shows_rows:
            await self._record(explanation, f"{scope['method']} {scope['path']}")
        return explanation

    async def _record(self, explanation: Explanation, request: str) -> None:
        caller = explanation.caller
        event = PolicyExplained(
            request, caller.kind, caller.role, caller.subject, tuple(one.kind for one in explanation.culprits)
        )
        async with self._runtime.database.unit_of_work() as work:
            await publish(work, event, key=caller.subject)

    async def _examine(  # noqa: PLR0913 what there is to know
        self,
        scope: Mapping[str, Any],
        request: ApiRequest,
        principal: Principal,
        findings: Findings,
        rows: int,
        *,
        shows_rows: bool,
    ) -> Outcome:
        try:
            prepared = await self._api.prepare(scope, request, principal)
        except Problem as problem:
            if isinstance(problem, Unavailable):
                raise
            if isinstance(problem, ColumnAbsent | ColumnNotWritable):
                blame_rule(problem, principal, findings)
            else:
                _blame_catalog(problem, request, findings)
            return refused(problem)
        head = request.head
        name = f"{head.schema}.{head.name}"
        findings.add(
            Step("catalog", "passes", f"{name} is in an exposed schema"),
            Step("exposure", "passes", f"nothing that the request touches is closed to {principal.role}"),
        )
        examine_columns(principal, prepared.plan, findings)
        if self._runtime.data.login is None:
            await self._runtime.data.open()
        effective = self._runtime.data.effective_role
        transaction = prepared.transaction
        if effective(principal.role) != principal.role:
            findings.note(f"{principal.role} may not bypass row security here; the owner stands in for it.")
        async with hold(
            self._runtime.database, transaction.settings, effective, transaction.isolation
        ) as held:
            outcome = await rehearse(prepared, held, max_rows=self._api.settings.max_rows)
            if not await _takes_role(held, findings):
                return outcome
            judge = Judge(held, principal.claims, shows_rows=shows_rows)
            try:
                await _examine_plan(judge, prepared, findings, min(rows, MAX_ROWS))
            except PostgresError as error:
                title = f"the examination ends here: {error.message}"
                findings.add(Step("examination", "unknown", title, {"sqlstate": error.sqlstate}))
        _blame_rest(outcome, name, findings)
        return outcome


async def _takes_role(held: Held, findings: Findings) -> bool:
    """Ask whether the login may take the caller's role at all."""
    try:
        async with held.as_caller():
            await held.fetch("SELECT 1")
    except PostgresError as error:
        findings.add(Step("role", "refuses", f"the role {held.role} cannot be taken: {error.message}"))
        findings.blame(Culprit("database", f"The role {held.role} cannot be taken: {error.message}."))
        return False
    findings.add(Step("role", "passes", f"the statement runs as {held.role}"))
    return True


async def _examine_plan(judge: Judge, prepared: Prepared, findings: Findings, most: int) -> None:
    plan, values = prepared.plan, prepared.request.values
    if isinstance(plan, CallPlan):
        await _examine_call(judge, plan, findings)
    for one in touched(plan):
        relation = await judge.relation(one.relation)
        if relation is not None:
            await examine_privileges(judge.held, relation, one, findings)
    if findings.is_refused or isinstance(plan, CallPlan):
        return
    if isinstance(plan, DocumentPlan):
        await examine_read(judge, plan, values, findings, most)
    else:
        await WriteExamination(judge, plan, values, findings, most).run()


_FUNCTION: Final = """
SELECT p.oid::regprocedure::text AS signature, has_function_privilege(p.oid, 'EXECUTE') AS may_call,
  p.prosecdef AS is_definer, pg_get_userbyid(p.proowner) AS owner, current_user AS role
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1 AND p.proname = $2
"""


async def _examine_call(judge: Judge, plan: CallPlan, findings: Findings) -> None:
    """Say as whom a function runs, and whether it may be called."""
    async with judge.held.as_caller():
        rows = await judge.held.fetch(_FUNCTION, *plan.routine.key)
    for row in rows:
        signature, role = row["signature"], row["role"]
        if not row["may_call"]:
            findings.add(Step("privilege", "refuses", f"{role} has no EXECUTE on {signature}"))
            findings.blame(
                Culprit(
                    "function_privilege",
                    f"The role {role} has no EXECUTE privilege on {signature}.",
                    hint=f"GRANT EXECUTE ON FUNCTION {signature} TO {role};",
                )
            )
            continue
        runs_as = row["owner"] if row["is_definer"] else role
        findings.add(Step("privilege", "passes", f"{role} may call {signature}, which runs as {runs_as}"))
    findings.note("What a function does inside is not looked into; explain the requests that it stands for.")


_KINDS: Final[Mapping[str, Kind]] = {"MH100": "exposure", "MH103": "scope"}
"""Refusals that are no mistake of the request, by their codes: a closed relation, a limited key."""


def _blame_catalog(problem: Problem, request: ApiRequest, findings: Findings) -> None:
    """Blame what kept the request from being planned."""
    name = f"{request.head.schema}.{request.head.name}"
    kind = _KINDS.get(problem.code, "request")
    findings.add(Step(kind, "refuses", problem.message, {"code": problem.code}))
    findings.blame(Culprit(kind, problem.message, name, hint=problem.hint))


def _blame_rest(outcome: Outcome, name: str, findings: Findings) -> None:
    """Blame PostgreSQL's own words where nothing that was asked explains a refusal."""
    if outcome.code is not None and not findings.culprits:
        findings.blame(
            Culprit("database", f"The database refuses with {outcome.code}: {outcome.message}", name)
        )


def _explanation(
    scope: Mapping[str, Any], principal: Principal, outcome: Outcome, findings: Findings
) -> Explanation:
    query = scope["query_string"].decode("ascii", "replace")
    target = scope["path"] + (f"?{query}" if query else "")
    replay = Step(
        "replay",
        "refuses" if outcome.code is not None else "info",
        f"tried and rolled back: {_came_of(outcome)}",
    )
    return Explanation(
        request=f"{scope['method']} {target}",
        caller=Caller(principal.kind.value, principal.role, principal.subject, principal.key_id),
        summary=_summary(outcome, findings),
        outcome=outcome,
        culprits=findings.culprits,
        steps=(*findings.steps, replay),
        notes=tuple(findings.notes),
    )


def _came_of(outcome: Outcome) -> str:
    if outcome.code is not None:
        return f"{outcome.status}, {outcome.code}: {outcome.message}"
    return f"{outcome.status}, {outcome.rows} {'row' if outcome.rows == 1 else 'rows'}"


def _summary(outcome: Outcome, findings: Findings) -> str:
    culprits = findings.culprits
    if not culprits and outcome.is_denied and any(step.verdict == "unknown" for step in findings.steps):
        return f"The reason could not be found: {_came_of(outcome)}."
    if not culprits:
        return f"Nothing stands in the way: {_came_of(outcome)}."
    first = culprits[0].message
    return first if len(culprits) == 1 else f"{first} And {len(culprits) - 1} more."
