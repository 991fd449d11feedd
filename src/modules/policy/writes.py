"""Why a write is refused, or writes fewer rows than its filters leave.

The rows as they would be are made by the write itself, run as the owner and undone: defaults, generated
columns and triggers have had their say. Policies are then asked about them as the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.policy.findings import Step
from modules.policy.judging import SELECT_USING
from modules.policy.policies import Phase
from modules.policy.quoting import qualified
from modules.policy.reads import Row, cannot_look, find_rows, row_step, say_nothing_matches
from modules.policy.relations import row_security
from modules.query import Place, existing, proposed, touched, written
from monohull.kernel.database.frames import PostgresError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.policy.findings import Findings
    from modules.policy.judging import Judge, Judgement
    from modules.policy.policies import Policy
    from modules.policy.relations import Relation
    from modules.query import MutationPlan, Touched

INSERT_CHECK: Final = Phase("INSERT", "WITH CHECK", "the new row")
SELECT_NEW: Final = Phase("SELECT", "USING", "the new row")
SELECT_EXISTING: Final = Phase("SELECT", "USING", "the row that exists")
UPDATE_USING: Final = Phase("UPDATE", "USING")
UPDATE_EXISTING: Final = Phase("UPDATE", "USING", "the row that exists")
UPDATE_CHECK: Final = Phase("UPDATE", "WITH CHECK", "the row as it would be")
SELECT_CHANGED: Final = Phase("SELECT", "USING", "the row as it would be")
DELETE_USING: Final = Phase("DELETE", "USING")

STAND_IN: Final = ("pg_temp", "monohull_proposed")
"""Takes the rows that an upsert proposes; gone with the transaction."""


class WriteExamination:
    """One write.

    Args:
        judge: Asks policies.
        plan: Of the write.
        values: By slot.
        findings: Takes what is found.
        most: Rows that are looked at.
    """

    def __init__(
        self, judge: Judge, plan: MutationPlan, values: Sequence[str | bytes], findings: Findings, most: int
    ) -> None:
        self._judge = judge
        self._plan = plan
        self._values = values
        self._findings = findings
        self._most = most

    async def run(self) -> None:
        """Find out what becomes of each row that is written."""
        relation = await self._judge.relation(self._plan.target.key)
        if relation is None:
            return
        self._findings.add(row_security(relation))
        self._findings.note(
            "The write was tried and rolled back, with all that triggers did. Numbers that sequences gave "
            "out, and what functions did outside of this database, are not taken back."
        )
        if not relation.is_active:
            return
        own = touched(self._plan)[0]
        if own.verb == "insert":
            await self._inserts(relation, own)
        else:
            await self._changes(relation, own)

    async def _inserts(self, relation: Relation, own: Touched) -> None:
        rows = await self._new_rows(relation)
        phases = [INSERT_CHECK, *([SELECT_NEW] if own.needs_read else [])]
        for row in rows[: self._most]:
            judgements = [(phase, await self._judge.judge(relation, row, phase)) for phase in phases]
            if own.updates is not None:
                judgements += await self._merges(relation, row)
            await self._new_row(relation, row, judgements)

    async def _new_row(
        self, relation: Relation, row: str, judgements: Sequence[tuple[Phase, Judgement]]
    ) -> None:
        """Say what policies have to say of a row that would be written."""
        steps = tuple(_phase_step(phase, judgement, is_write=True) for phase, judgement in judgements)
        for _, judgement in judgements:
            self._findings.blame(*judgement.culprits)
        verdicts = [judgement.passes for _, judgement in judgements]
        name = await self._judge.name_of(relation, row)
        if None in verdicts:
            self._findings.add(Step("row", "unknown", f"{name}: a policy fails", steps=steps))
            return
        is_fine = all(verdicts)
        self._findings.add(
            Step(
                "row",
                "passes" if is_fine else "refuses",
                f"{name} {'may' if is_fine else 'may not'} be written",
                steps=steps,
            )
        )

    async def _new_rows(self, relation: Relation) -> list[str]:
        """Return the rows that an insert proposes, whether or not some of them exist."""
        held = self._judge.held
        is_upsert = bool(self._plan.conflict)
        asked = proposed(self._plan, STAND_IN) if is_upsert else written(self._plan)
        try:
            async with held.as_owner():
                if is_upsert:
                    await held.execute(
                        f"CREATE TEMPORARY TABLE {STAND_IN[1]} (LIKE {qualified(relation.key)} "
                        "INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING IDENTITY)"
                    )
                found = await held.rows(asked.text, asked.choose(self._values))
        except PostgresError as error:
            self._cannot_write(relation, error)
            return []
        return [record[0] for record in found]

    def _cannot_write(self, relation: Relation, error: PostgresError) -> None:
        title = f"the new rows of {relation.name} are not known: even the owner gets {error.sqlstate}"
        self._findings.add(
            Step("rows", "unknown", title, {"sqlstate": error.sqlstate, "message": error.message})
        )

    async def _merges(self, relation: Relation, row: str) -> list[tuple[Phase, Judgement]]:
        """Ask about the row that an upsert meets, if there is one, and about what it would become."""
        judge, held = self._judge, self._judge.held
        sql = existing(relation.key, self._plan.conflict)
        async with held.as_owner():
            met = await held.rows(sql, [row])
        if not met:
            policies = await judge.policies(relation)
            self._findings.note(
                "No row stands in the way of this upsert now. When one does, policies for UPDATE are asked "
                f"as well; {_named(policies.all, UPDATE_USING)}."
            )
            return []
        there = Row(*met[0].values())
        found = [
            (phase, await judge.judge(relation, there.text, phase))
            for phase in (SELECT_EXISTING, UPDATE_EXISTING)
        ]
        for text in await self._merged():
            found += [
                (phase, await judge.judge(relation, text, phase)) for phase in (UPDATE_CHECK, SELECT_CHANGED)
            ]
        return found

    async def _merged(self) -> list[str]:
        """Return what the row that exists would become, where the body holds one row."""
        asked = written(self._plan)
        try:
            async with self._judge.held.as_owner():
                found = await self._judge.held.rows(asked.text, asked.choose(self._values))
        except PostgresError:
            return []
        return [found[0][0]] if len(found) == 1 else []

    async def _changes(self, relation: Relation, own: Touched) -> None:
        try:
            stored = await find_rows(self._judge, self._plan, self._values, relation, self._most)
        except PostgresError as error:
            self._findings.add(cannot_look(relation, error))
            return
        if stored.has_more:
            self._findings.note(f"More rows match; the first {self._most} were examined.")
        if not stored.rows:
            say_nothing_matches(relation, self._findings)
        for row in stored.rows:
            await self._change(relation, own, row)

    async def _change(self, relation: Relation, own: Touched, row: Row) -> None:
        """Ask about a row as it is and, if that passes, as it would be."""
        judge = self._judge
        using = UPDATE_USING if own.verb == "update" else DELETE_USING
        phases = [*([SELECT_USING] if own.needs_read else []), using]
        judgements = [(phase, await judge.judge(relation, row.text, phase)) for phase in phases]
        passes = [judgement.passes for _, judgement in judgements]
        is_there = None if None in passes else all(passes)
        steps = [_phase_step(phase, judgement, is_write=False) for phase, judgement in judgements]
        for _, judgement in judgements:
            self._findings.blame(*judgement.culprits)
        self._findings.add(await row_step(judge, relation, row, is_there, steps))
        if is_there and own.verb == "update" and own.writes:
            await self._changed(relation, own, row)

    async def _changed(self, relation: Relation, own: Touched, row: Row) -> None:
        held = self._judge.held
        at = Place(len(self._values), len(self._values) + 1)
        asked = written(self._plan, at)
        values = [*self._values, row.table or "", row.position or ""]
        try:
            async with held.as_owner():
                found = await held.rows(asked.text, asked.choose(values))
        except PostgresError as error:
            self._cannot_write(relation, error)
            return
        phases = [UPDATE_CHECK, *([SELECT_CHANGED] if own.needs_read else [])]
        for record in found:
            judgements = [(phase, await self._judge.judge(relation, record[0], phase)) for phase in phases]
            await self._new_row(relation, record[0], judgements)


def _phase_step(phase: Phase, judgement: Judgement, *, is_write: bool) -> Step:
    name = f"{phase.title}, {phase.about}"
    if judgement.passes is None:
        return Step("phase", "unknown", f"{name}: a policy fails", steps=judgement.steps)
    if judgement.passes:
        return Step("phase", "passes", f"{name}: passes", steps=judgement.steps)
    return Step(
        "phase", "refuses" if is_write else "removes", f"{name}: does not pass", steps=judgement.steps
    )


def _named(policies: Sequence[Policy], phase: Phase) -> str:
    names = [repr(one.name) for one in policies if one.is_for_caller and one.concerns(phase)]
    return f"there are {', '.join(names)}" if names else "there is none for this role"
