"""The query guard: ceilings on what a caller's requests may cost, and the check against them.

    MONOHULL_REST_GUARD=*:cost=100000,anon:cost=5000,anon:depth=2,0198c0de-…:rows=500

The planner is asked by EXPLAIN before the statement runs; nothing is executed. What
it said is remembered by statement, role and schema for a while: values may differ, so
it holds for the kind of request and not for each. Callers without a ceiling are not
looked at, and ``service_role`` has none.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

from modules.query import Embed, Estimate, Mutation, Read, advice_on, ask_planner
from modules.rest.guard_errors import EmbedsTooDeep, QueryTooCostly, TooManyRowsExpected
from modules.rest.metrics import GUARD
from monohull.kernel import clock
from monohull.kernel.observation import Observation
from monohull.kernel.principal import PrincipalKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from modules.query import Advice, Catalog, Compiled, DataSource, Plan, Request, Selection, Transaction
    from modules.rest.request import ApiRequest
    from monohull.kernel.metrics import Metrics
    from monohull.kernel.observation import Observer, Reader
    from monohull.kernel.principal import Principal

EVERYBODY: Final = "*"
SERVICE_ROLE: Final = "service_role"
REFUSED_SECONDS: Final = 5
"""How long an estimate counts at most that a request was refused for: somebody may be making the index."""
MAX_REMEMBERED: Final = 2000
"""Estimates; the one that was not used for the longest time goes first."""

Outcome: TypeAlias = Literal["explained", "remembered", "refused"]


class Ceilings(Struct, frozen=True):
    """What the requests of a caller may be; None for no ceiling.

    Attributes:
        cost: In the planner's units.
        rows: In the answer, or written, as the planner expects.
        depth: Embeds within embeds; 0 for none at all.
    """

    cost: int | None = None
    rows: int | None = None
    depth: int | None = None


class Rules:
    """The ceilings of all callers.

    Args:
        entries: As ``who:what=number``; see `RestSettings.guard`.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._said: dict[str, dict[str, int | None]] = {}
        for entry in entries:
            who, _, rule = entry.rpartition(":")
            what, _, number = rule.partition("=")
            self._said.setdefault(who, {})[what] = None if number == "none" else int(number)
        self._known: dict[tuple[str | None, str], Ceilings | None] = {}

    def __bool__(self) -> bool:
        return bool(self._said)

    def of(self, principal: Principal) -> Ceilings | None:
        """Return the ceilings of a caller, None for none: what is said of a key, its role, or everybody."""
        if not self._said or principal.role == SERVICE_ROLE or principal.kind is PrincipalKind.SERVICE:
            return None
        who = principal.key_id if principal.key_id in self._said else None, principal.role
        if who not in self._known:
            said: dict[str, int | None] = {}
            for name in (EVERYBODY, principal.role, who[0]):
                said |= self._said.get(name, {}) if name is not None else {}
            found = Ceilings(**said)
            self._known[who] = None if found == Ceilings() else found
        return self._known[who]


class GuardAsked(Observation, frozen=True, kw_only=True):
    """The planner was asked about a request, or its answer was remembered."""

    event = "rest.guard_asked"
    level = "debug"

    outcome: Outcome
    cost: float
    rows: int


class QueryRefused(Observation, frozen=True, kw_only=True):
    """A request was refused for what it would cost."""

    event = "rest.query_refused"

    role: str
    reason: str
    request_id: str
    cost: float | None = None
    rows: int | None = None
    lacks: str | None = None
    index: str | None = None


class _Known(Struct):
    """An estimate, until when it counts, and the advice once somebody needed it."""

    found: Estimate
    until: float
    is_advised: bool = False
    advice: Advice | None = None


class Asked(Struct, frozen=True):
    """A request that is to be checked.

    Attributes:
        plan: Makes the plan anew, for advice.
        catalog: As the caller sees it.
        source: Where the statement will run.
    """

    request: ApiRequest
    compiled: Compiled
    transaction: Transaction
    principal: Principal
    plan: Callable[[], Plan]
    catalog: Catalog
    source: DataSource
    request_id: str


class Guard:
    """Checks requests against ceilings.

    Args:
        observer: Is told of each check.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._seconds = 0
        self._remembered: OrderedDict[tuple[str, str], _Known] = OrderedDict()

    def forget(self, seconds: int) -> None:
        """Begin anew, and remember what the planner says for so long."""
        self._seconds = seconds
        self._remembered = OrderedDict()

    async def admit(self, asked: Asked, ceilings: Ceilings) -> None:
        """Let a request pass that stays below.

        Raises:
            EmbedsTooDeep: MH126. QueryTooCostly: MH124. TooManyRowsExpected: MH125.
            PostgresError: The server refused.
            Unavailable: No server, or no connection in time.
        """
        depth = depth_of(asked.request.asked.selection)
        if ceilings.depth is not None and depth > ceilings.depth:
            self._note(asked, "depth")
            raise EmbedsTooDeep(depth, ceilings.depth)
        if not _is_estimated(asked.request.asked) or (ceilings.cost is None and ceilings.rows is None):
            return
        known = await self._known(asked)
        cost, rows = known.found.cost, known.found.rows
        if ceilings.cost is not None and cost > ceilings.cost:
            raise QueryTooCostly(cost, ceilings.cost, await self._advice(asked, known, "cost"))
        if ceilings.rows is not None and rows > ceilings.rows:
            raise TooManyRowsExpected(rows, ceilings.rows, await self._advice(asked, known, "rows"))

    async def _known(self, asked: Asked) -> _Known:
        """Return what the planner says, asking it unless it was asked about such a request lately."""
        key = asked.compiled.statement.name, asked.transaction.plan_key
        known, now = self._remembered.get(key), clock.monotonic_seconds()
        outcome: Outcome = "remembered"
        if known is None or now >= known.until:
            remembered, outcome = self._remembered, "explained"
            found = await ask_planner(asked.source, asked.compiled, asked.request.values, asked.transaction)
            known = remembered[key] = _Known(found, now + self._seconds)
            if len(remembered) > MAX_REMEMBERED:
                remembered.popitem(last=False)
        else:
            self._remembered.move_to_end(key)
        self._observer.observe(GuardAsked(outcome=outcome, cost=known.found.cost, rows=known.found.rows))
        return known

    async def _advice(self, asked: Asked, known: _Known, reason: str) -> Advice | None:
        if not known.is_advised:
            known.advice = await advice_on(
                asked.source, asked.plan(), asked.catalog, asked.transaction, known.found
            )
            known.is_advised = True
            known.until = min(known.until, clock.monotonic_seconds() + REFUSED_SECONDS)
        self._note(asked, reason, known)
        return known.advice

    def _note(self, asked: Asked, reason: str, known: _Known | None = None) -> None:
        advice = None if known is None else known.advice
        self._observer.observe(
            QueryRefused(
                role=asked.principal.role,
                reason=reason,
                request_id=asked.request_id,
                cost=None if known is None else known.found.cost,
                rows=None if known is None else known.found.rows,
                lacks=None if advice is None else advice.lacks,
                index=None if advice is None else advice.index,
            )
        )


def _is_estimated(request: Request) -> bool:
    """Say whether the planner has something to say: it knows no function, and no number of new rows."""
    return isinstance(request, Read) or (isinstance(request, Mutation) and request.action != "insert")


def depth_of(selection: Selection) -> int:
    """Return how deep embeds go: 0 for none, 1 for those of the top alone."""
    embeds: Sequence[Embed] = [item for item in selection.items if isinstance(item, Embed)]
    return max((1 + depth_of(embed.selection) for embed in embeds), default=0)


def guard_metrics(metrics: Metrics) -> Reader:
    """Return the reader that counts checks."""
    checks = metrics.counter(GUARD)

    def read(observation: Observation) -> None:
        if isinstance(observation, GuardAsked):
            checks.labels(observation.outcome).inc()
        elif isinstance(observation, QueryRefused):
            checks.labels("refused").inc()

    return read
