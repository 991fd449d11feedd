"""`Compiler`: one front end's view of a catalog, with the statements it has compiled.

A statement depends on the shape of a request and on the catalog alone, never on
values and never on who asks. So it is kept under the shape, for everybody;
whether this caller may see the relations in it is looked up each time. Who sees
some columns alone has another catalog (`limited`), and statements of it. When the
catalog is replaced, so is the whole `Compiler`: there is nothing to invalidate.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, assert_never

from msgspec import Struct

from modules.query.ast import AllColumns, Call, Mutation, Read
from modules.query.catalog import Handlers, MediaHandler
from modules.query.exposure import Closure, Exposure, find_closures
from modules.query.limits import hidden_names, limit_catalog
from modules.query.marks import filter_shape, marks_of, sensitive_columns
from modules.query.plan.call import plan_call, routine_of
from modules.query.plan.keyset import keyset_order
from modules.query.plan.mutate import plan_mutation
from modules.query.plan.read import Rules, check_open, find_relation, plan_read
from modules.query.pure import may_call
from modules.query.relationships import find_relationship
from modules.query.sql import (
    Spread,
    Statement,
    empty,
    empty_row,
    is_by_key,
    render_call,
    render_count_plan,
    render_mutation,
    render_page,
    render_read,
    render_row,
    render_spread,
)
from modules.query.sql.version import is_of_rows_alone, render_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.query.ast import Order, Request
    from modules.query.catalog import Catalog, Relation, Relationship
    from modules.query.columns import Key
    from modules.query.probe import Plan
    from modules.query.routines import Routine
    from monohull.kernel.column_limits import ColumnLimits

MAX_STATEMENTS: Final = 2000
"""Shapes kept; the least recently used one goes. A project has some hundred."""


class Compiled(Struct, frozen=True):
    """A statement ready to be run.

    Attributes:
        statement: SQL and its name.
        relations: What it touches, junctions included.
        count_plan: The EXPLAIN that estimates the count, where one was asked for.
        is_read_only: The transaction need not write, and so may not.
        asides: How many settings its row gives back.
        routine: The function that it calls, if it is a call.
        is_binary: The document is bytes, written in hexadecimal digits.
        closed: Those of its relations that are closed to most.
        sensitive: Columns it selects that are marked so, as ``schema.relation.column``.
        filters: What it filters by, where it selects such columns.
        is_audited: It may change rows that are audited.
        is_paged: Its row says where the pages beside this one begin.
        empty: The document where the statement gives no row; None where that is refused. A read by key gives
            none where nothing has the key; where an INSERT answers with its own row, only a trigger that the
            catalog does not know of yet can bring that about.
        spread: The same with a parameter for each column of the body, where that leads to the same.
    """

    statement: Statement
    relations: frozenset[Key]
    count_plan: Statement | None = None
    is_read_only: bool = True
    asides: int = 0
    routine: Routine | None = None
    is_binary: bool = False
    closed: frozenset[Key] = frozenset()
    sensitive: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    is_audited: bool = False
    is_paged: bool = False
    empty: bytes | None = b""
    spread: Spread | None = None


class Version(Struct, frozen=True):
    """How the versions of some rows are told apart.

    Attributes:
        compiled: Gives a text that changes whenever one of the rows does.
        is_of_rows_alone: The document that was asked for changes with it, and not without it.
        relation: Whose rows they are.
    """

    compiled: Compiled
    is_of_rows_alone: bool
    relation: Relation


class Compiler:
    """Compiles requests against ``catalog``.

    Args:
        catalog: What there is.
        exposure: What of it is open.
        aggregates: Whether aggregate functions may be used.
        bypassing_roles: Roles that see everything, beside those the catalog knows.
        asides: Settings that functions leave for the front end; statements give them back.
        by_key: A read by key may have no row where nothing is found. Settings that were left before are lost
            then, so this is False where something runs before each request.
    """

    def __init__(  # noqa: PLR0913 each says one thing about it
        self,
        catalog: Catalog,
        exposure: Exposure,
        *,
        aggregates: bool = True,
        bypassing_roles: frozenset[str] = frozenset(),
        asides: tuple[str, ...] = (),
        by_key: bool = True,
    ) -> None:
        self.catalog = catalog
        self._aggregates = aggregates
        self._asides = asides
        self._by_key = by_key
        self._schemas = exposure.schemas
        self._closures: Mapping[Key, Closure] = find_closures(catalog, exposure)
        self._bypassing = catalog.bypassing_roles | bypassing_roles
        self._handlers = _exposed_handlers(catalog, exposure)
        self._marks = marks_of(catalog)
        self._kept: OrderedDict[Request, Compiled] = OrderedDict()
        self._versions: OrderedDict[Read, Version] = OrderedDict()
        self.hidden: frozenset[str] = frozenset()

    def limited(self, limits: ColumnLimits) -> Compiler:
        """Return the compiler for callers who see some columns alone; it shares what columns do not change.

        Its ``hidden`` are the names of the others.
        """
        other = copy.copy(self)
        other.catalog = limit_catalog(self.catalog, limits)
        other.hidden = hidden_names(other.catalog)
        other._kept = OrderedDict()  # noqa: SLF001 another of its own
        other._versions = OrderedDict()  # noqa: SLF001 and these
        return other

    def compile(
        self, request: Request, *, role: str, anonymous: bool, is_explained: bool = False
    ) -> Compiled:
        """Return the statement of ``request`` for a caller that may see all of it.

        Args:
            request: The shape.
            role: Database role of the caller.
            anonymous: The caller sent no credential; decides on 401 or 403.
            is_explained: Its plan is wanted, and not its rows; such a statement is not kept.

        Raises:
            RelationClosed: MH100, a relation in it is closed to the role.
            QueryProblem: Another refusal of the planners.
        """
        if is_explained:
            return self._compile(request, self._rules(role, anonymous=anonymous), is_explained=True)
        compiled = self._kept.get(request)
        if compiled is None:
            compiled = self._compile(request, self._rules(role, anonymous=anonymous))
            self._keep(request, compiled)
            return compiled
        self._kept.move_to_end(request)
        if compiled.closed:
            rules = self._rules(role, anonymous=anonymous)
            for key in compiled.closed:
                check_open(key, rules)
        return compiled

    def version_of(self, read: Read, *, role: str, anonymous: bool) -> Version:
        """Return the statement that tells versions of the rows of ``read`` apart, whatever limit it has.

        Raises:
            QueryProblem: As `compile` raises it.
        """
        rules = self._rules(role, anonymous=anonymous)
        kept = self._versions.get(read)
        if kept is None:
            plan = plan_read(read, self.catalog, rules)
            relation = self.catalog.relations[read.schema, read.relation]
            compiled = Compiled(
                render_version(plan, relation), plan.relations, closed=self._closed(plan.relations)
            )
            kept = self._versions[read] = Version(compiled, is_of_rows_alone(plan, relation), relation)
            if len(self._versions) > MAX_STATEMENTS:
                self._versions.popitem(last=False)
        for key in kept.compiled.closed:
            check_open(key, rules)
        return kept

    def plan(self, request: Request, *, role: str, anonymous: bool) -> Plan:
        """Return what ``request`` was found to mean, for those who ask more about it than its answer.

        Raises:
            QueryProblem: As `compile` raises it.
        """
        rules = self._rules(role, anonymous=anonymous)
        match request:
            case Read():
                return plan_read(request, self.catalog, rules)
            case Mutation():
                return plan_mutation(request, self.catalog, rules)
            case Call():
                return plan_call(request, self.catalog, rules)
            case _:
                assert_never(request)

    def find(self, schema: str, name: str, *, role: str, anonymous: bool) -> Relation:
        """Return a relation that exists, whether or not it is open to the role.

        Raises:
            RelationNotFound: PGRST205.
        """
        return find_relation(schema, name, self.catalog, self._rules(role, anonymous=anonymous))

    def way(self, origin: Key, target: str, hint: str | None, *, role: str, anonymous: bool) -> Relationship:
        """Return the relationship of ``origin`` that is named as an embed names it.

        Raises:
            RelationshipNotFound: PGRST200. RelationshipAmbiguous: PGRST201.
        """
        among = self._rules(role, anonymous=anonymous).among
        return find_relationship(self.catalog, origin, target, hint, among=among)

    def keyset_order(self, read: Read, *, role: str, anonymous: bool) -> tuple[Order, ...]:
        """Return the order of ``read`` with what it lacks to tell any two rows apart.

        Raises:
            RelationNotFound: PGRST205. RelationClosed: MH100.
            PagingImpossible: MH122, there is no such order.
        """
        rules = self._rules(role, anonymous=anonymous)
        relation = find_relation(read.schema, read.relation, self.catalog, rules)
        check_open(relation.key, rules)
        return keyset_order(read, relation)

    def closed_to(self, role: str) -> frozenset[Key]:
        """Return the relations that are closed to ``role``."""
        return frozenset() if role in self._bypassing else frozenset(self._closures)

    def handlers(self, request: Request) -> Handlers | None:
        """Return what custom media types can be made of what ``request`` asks for; None for none.

        Those that take rows of a relation need all of its columns.

        Raises:
            QueryProblem: A call means no function, or several.
        """
        if not self._handlers:
            return None
        is_row = True
        if isinstance(request, Call):
            routine = routine_of(request, self.catalog)
            is_row = routine.is_row
            key, rows = (routine.schema, (routine.relation or routine.key)[1]), routine.relation
        else:
            key = rows = (request.schema, request.relation)
        is_whole = request.selection.items == (AllColumns(),) and not self._hides_some(rows)
        own = self._handlers.get(key, {}) if is_whole else {}
        own = {name: handler for name, handler in own.items() if handler.is_aggregate == is_row}
        return Handlers(own, self._handlers.get(None, {}))

    def _hides_some(self, key: Key | None) -> bool:
        relation = None if key is None else self.catalog.relations.get(key)
        return relation is not None and len(relation.columns) < len(relation.stored)

    def _closed(self, relations: frozenset[Key]) -> frozenset[Key]:
        return frozenset(key for key in relations if key in self._closures)

    def _rules(self, role: str, *, anonymous: bool) -> Rules:
        closures = {} if role in self._bypassing else self._closures
        return Rules(self._schemas, closures, anonymous, self._aggregates)

    def _compile(self, request: Request, rules: Rules, *, is_explained: bool = False) -> Compiled:
        """Send each kind of request to its own planner and writer."""
        match request:
            case Read():
                return self._read(request, rules, is_explained=is_explained)
            case Mutation():
                return self._mutation(request, rules, is_explained=is_explained)
            case Call():
                return self._call(request, rules, is_explained=is_explained)
            case _:
                assert_never(request)

    def _keep(self, request: Request, compiled: Compiled) -> None:
        self._kept[request] = compiled
        if len(self._kept) > MAX_STATEMENTS:
            self._kept.popitem(last=False)

    def _read(self, read: Read, rules: Rules, *, is_explained: bool) -> Compiled:
        plan = plan_read(read, self.catalog, rules)
        sensitive = sensitive_columns(plan.read, self._marks)
        count_plan = render_count_plan(plan) if read.count in ("planned", "estimated") else None
        is_row = (
            self._by_key and not is_explained and is_by_key(plan) and not may_call(plan.read, self.catalog)
        )
        render = render_read if plan.keyset is None else render_page
        return Compiled(
            render_row(plan, self._asides)
            if is_row
            else render(plan, self._asides, is_explained=is_explained),
            plan.relations,
            count_plan,
            asides=len(self._asides),
            is_binary=_is_binary(read),
            closed=self._closed(plan.relations),
            sensitive=sensitive,
            filters=filter_shape(plan.read) if sensitive else (),
            is_paged=plan.keyset is not None,
            empty=empty_row(plan) if is_row else b"",
        )

    def _mutation(self, mutation: Mutation, rules: Rules, *, is_explained: bool) -> Compiled:
        plan = plan_mutation(mutation, self.catalog, rules)
        sensitive = sensitive_columns(plan.read, self._marks)
        return Compiled(
            render_mutation(plan, self._asides, is_explained=is_explained),
            plan.relations,
            is_read_only=False,
            asides=len(self._asides),
            is_binary=_is_binary(mutation),
            closed=self._closed(plan.relations),
            is_audited=plan.target.key in self._marks.audited,
            sensitive=sensitive,
            filters=filter_shape(plan.read) if sensitive else (),
            empty=empty(plan),
            spread=None if is_explained else render_spread(plan, self._asides),
        )

    def _call(self, call: Call, rules: Rules, *, is_explained: bool) -> Compiled:
        plan = plan_call(call, self.catalog, rules)
        sensitive = sensitive_columns(plan.read, self._marks)
        return Compiled(
            render_call(plan, self._asides, is_explained=is_explained),
            plan.relations,
            is_read_only=call.is_read or plan.routine.is_read_only,
            asides=len(self._asides),
            routine=plan.routine,
            is_binary=_is_binary(call),
            closed=self._closed(plan.relations),
            is_audited=bool(self._marks.audited) and not (call.is_read or plan.routine.is_read_only),
            sensitive=sensitive,
            filters=filter_shape(plan.read) if sensitive else (),
        )


def _exposed_handlers(catalog: Catalog, exposure: Exposure) -> dict[Key | None, dict[str, MediaHandler]]:
    """Leave out the aggregates of schemas that are not exposed."""
    found: dict[Key | None, dict[str, MediaHandler]] = {}
    for target, handlers in catalog.handlers.items():
        for name, handler in handlers.items():
            is_open = exposure.schemas is None or handler.function[0] in exposure.schemas
            if is_open or not handler.is_aggregate:
                found.setdefault(target, {})[name] = handler
    return found


def _is_binary(request: Request) -> bool:
    return isinstance(request.shape, MediaHandler) and request.shape.is_binary
