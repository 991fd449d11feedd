"""`Compiler`: one front end's view of a catalog, with the statements it has compiled.

A statement depends on the shape of a request and on the catalog alone, never on
values and never on who asks. So it is kept under the shape, for everybody;
whether this caller may see the relations in it is looked up each time. When the
catalog is replaced, so is the whole `Compiler`: there is nothing to invalidate.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from modules.query.exposure import Closure, Exposure, find_closures
from modules.query.plan.read import Rules, check_open, plan_read
from modules.query.sql import Statement, render_count_plan, render_read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.query.ast import Read
    from modules.query.catalog import Catalog, Key

MAX_STATEMENTS: Final = 2000
"""Shapes kept; the least recently used one goes. A project has some hundred."""


class Compiled(Struct, frozen=True):
    """A statement ready to be run.

    Attributes:
        statement: SQL and its name.
        relations: What it reads, junctions included.
        count_plan: The EXPLAIN that estimates the count, where one was asked for.
    """

    statement: Statement
    relations: frozenset[Key]
    count_plan: Statement | None = None


class Compiler:
    """Compiles reads against ``catalog``.

    Args:
        catalog: What there is.
        exposure: What of it is open.
        aggregates: Whether aggregate functions may be used.
        bypassing_roles: Roles that see everything, beside those the catalog knows.
    """

    def __init__(
        self,
        catalog: Catalog,
        exposure: Exposure,
        *,
        aggregates: bool = True,
        bypassing_roles: frozenset[str] = frozenset(),
    ) -> None:
        self.catalog = catalog
        self._aggregates = aggregates
        self._schemas = exposure.schemas
        self._closures: Mapping[Key, Closure] = find_closures(catalog, exposure)
        self._bypassing = catalog.bypassing_roles | bypassing_roles
        self._kept: OrderedDict[Read, Compiled] = OrderedDict()

    def compile(self, read: Read, *, role: str, anonymous: bool) -> Compiled:
        """Return the statement of ``read`` for a caller that may see all of it.

        Args:
            read: The shape.
            role: Database role of the caller.
            anonymous: The caller sent no credential; decides on 401 or 403.

        Raises:
            RelationClosed: MH100, a relation in it is closed to the role.
            QueryProblem: Another refusal of `plan_read`.
        """
        compiled = self._kept.get(read)
        if compiled is None:
            return self._compile(read, self._rules(role, anonymous=anonymous))
        self._kept.move_to_end(read)
        if self._closures and not self._closures.keys().isdisjoint(compiled.relations):
            rules = self._rules(role, anonymous=anonymous)
            for key in compiled.relations:
                check_open(key, rules)
        return compiled

    def _rules(self, role: str, *, anonymous: bool) -> Rules:
        closures = {} if role in self._bypassing else self._closures
        return Rules(self._schemas, closures, anonymous, self._aggregates)

    def _compile(self, read: Read, rules: Rules) -> Compiled:
        plan = plan_read(read, self.catalog, rules)
        count_plan = render_count_plan(plan) if read.count in ("planned", "estimated") else None
        compiled = Compiled(render_read(plan), plan.relations, count_plan)
        self._kept[read] = compiled
        if len(self._kept) > MAX_STATEMENTS:
            self._kept.popitem(last=False)
        return compiled
