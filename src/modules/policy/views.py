"""A view has no policies; the tables that it reads have, for its caller or for its owner.

    security_invoker    its tables are read as the caller, whose policies count
    otherwise           as the owner of the view, whom policies bind as anybody else
    materialized        its rows were written down; nobody is asked

Which row of a table a row of the view is made of is known where the view has the columns of the table's
primary key under their own names.
"""

# names are quoted, and rows are parameters
# ruff: noqa: S608
from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.policy.findings import Culprit, Step
from modules.policy.judging import SELECT_USING, Judge
from modules.policy.quoting import qualified, strictly_quoted
from modules.policy.relations import row_security
from monohull.kernel.database.frames import PostgresError

if TYPE_CHECKING:
    from modules.policy.findings import Findings
    from modules.policy.relations import Relation

_BASES: Final = """
SELECT DISTINCT n.nspname AS schema, c.relname AS name
FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
  AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
JOIN pg_class c ON c.oid = d.refobjid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.ev_class = $1 ORDER BY 1, 2
"""


class Views:
    """Looks through views, down to the tables whose policies count.

    Args:
        judge: Asks policies as the caller.
        findings: Takes what is found.
    """

    def __init__(self, judge: Judge, findings: Findings) -> None:
        self._judge = judge
        self._findings = findings

    def introduce(self, view: Relation) -> Step:
        """Say as whom a view reads its tables."""
        if view.kind == "materialized view":
            title = f"{view.name} is a materialized view: its rows are there for all who may read it"
            return Step("view", "info", title)
        reader = f"{view.role}, its caller" if view.is_invoker else f"{view.owner}, its owner"
        return Step(
            "view",
            "info",
            f"{view.name} is a view and reads its tables as {reader}",
            {"security_invoker": view.is_invoker, "owner": view.owner},
        )

    async def blame_owner(self, view: Relation) -> None:
        """Blame the policies that bind the owner of a view, where its rows cannot be read past them."""
        if view.kind != "view" or view.is_invoker:
            return
        judge = self._judge.acting(view.owner)
        async with judge.held.as_owner():
            bases = await judge.held.fetch(_BASES, view.oid)
        for base in bases:
            relation = await judge.relation((base["schema"], base["name"]))
            if relation is not None and relation.is_active:
                policies = await judge.policies(relation)
                names = ", ".join(repr(policy.name) for policy in policies.all if policy.is_for_caller)
                self._findings.blame(
                    Culprit(
                        "view_owner",
                        f"The view {view.name} reads {relation.name} as its owner {view.owner}, whom row "
                        f"security binds; its policies for that role: {names or 'none'}.",
                        relation.name,
                        hint="Make it a security_invoker view, or write policies for its owner.",
                    )
                )

    async def look_through(self, view: Relation, row: str) -> tuple[bool | None, list[Step]]:
        """Say whether the tables below let a row of a view through; None where that cannot be known."""
        if view.kind != "view":
            return True, []
        judge = self._judge
        if not view.is_invoker:
            judge = self._judge.acting(view.owner)
        steps: list[Step] = []
        verdicts: list[bool | None] = []
        try:
            async with judge.held.as_owner():
                bases = await judge.held.fetch(_BASES, view.oid)
            for base in bases:
                verdict, found = await self._base(judge, view, (base["schema"], base["name"]), row)
                verdicts.append(verdict)
                steps += found
        except PostgresError as error:
            return None, [Step("view", "unknown", f"{view.name} cannot be looked through: {error.message}")]
        if False in verdicts:
            return False, steps
        return (None if None in verdicts else True), steps

    async def _base(
        self, judge: Judge, view: Relation, key: tuple[str, str], row: str
    ) -> tuple[bool | None, list[Step]]:
        relation = await judge.relation(key)
        if relation is None:
            return True, []
        if relation.kind == "view":
            return None, [self.introduce(relation)]
        if not relation.is_active:
            return True, [row_security(relation)]
        text = await _row_of(judge, view, relation, row)
        if text is None:
            title = f"{relation.name} has policies, and which of its rows this one is made of is not known"
            return None, [row_security(relation), Step("row", "unknown", title)]
        judgement = await judge.judge(relation, text, SELECT_USING)
        self._findings.blame(*judgement.culprits)
        return judgement.passes, [row_security(relation), *judgement.steps]


async def _row_of(judge: Judge, view: Relation, table: Relation, row: str) -> str | None:
    """Return the row of a table that a row of a view has the key of."""
    if not table.primary_key:
        return None
    equal = " AND ".join(
        f"_table.{strictly_quoted(name)} = _view.{strictly_quoted(name)}" for name in table.primary_key
    )
    sql = (
        f"SELECT (_table.*)::text FROM {qualified(table.key)} AS _table, "
        f"unnest(ARRAY[$1::text::{qualified(view.key)}]) AS _view WHERE {equal}"
    )
    try:
        async with judge.held.as_owner():
            found = await judge.held.rows(sql, [row])
    except PostgresError:  # the view has no such columns, or of another type
        return None
    return found[0][0] if found else None
