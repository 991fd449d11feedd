"""Why a read does not give the rows that its filters leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from modules.policy.findings import Culprit, Step
from modules.policy.judging import SELECT_USING
from modules.policy.relations import row_security
from modules.policy.views import Views
from modules.query import Place, embedded, joins_of, matching
from monohull.kernel.database.frames import PostgresError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.policy.findings import Findings, Verdict
    from modules.policy.judging import Judge, Judgement
    from modules.policy.relations import Relation
    from modules.query import DocumentPlan, MutationPlan, PlannedJoin

MAX_DEPTH: Final = 4
"""Of embeds that are followed."""


class Row(Struct, frozen=True):
    """A row as the owner finds it: the table and the place it is stored at, if any, and its text."""

    table: str | None
    position: str | None
    text: str


class Stored(Struct, frozen=True):
    """What the filters of a request leave without row security.

    Attributes:
        rows: Up to as many as are looked at.
        has_more: There are more.
    """

    rows: tuple[Row, ...]
    has_more: bool


async def find_rows(
    judge: Judge,
    plan: DocumentPlan | MutationPlan,
    values: Sequence[str | bytes],
    relation: Relation,
    most: int,
) -> Stored:
    """Return the rows that the filters leave, read past row security.

    Raises:
        PostgresError: 42501, nobody here is above the policies of the relation.
    """
    asked = matching(plan, most=most + 1, is_stored=relation.is_stored)
    async with judge.held.as_owner():
        found = await judge.held.rows(asked.text, asked.choose(values))
    rows = tuple(Row(*record.values()) for record in found)
    return Stored(rows[:most], len(rows) > most)


async def examine_read(
    judge: Judge, plan: DocumentPlan, values: Sequence[str | bytes], findings: Findings, most: int
) -> None:
    """Find out what becomes of each row that the filters of a read leave."""
    relation = await judge.relation(plan.read.source.key)
    if relation is None:
        return
    findings.add(row_security(relation))
    views = Views(judge, findings)
    if relation.is_view:
        findings.add(views.introduce(relation))
    try:
        stored = await find_rows(judge, plan, values, relation, most)
    except PostgresError as error:
        findings.add(cannot_look(relation, error))
        await views.blame_owner(relation)
        return
    if stored.has_more:
        findings.note(f"More rows match; the first {most} were examined.")
    if not stored.rows:
        say_nothing_matches(relation, findings)
    walk = _Walk(judge, views, values, findings, most)
    for row in stored.rows:
        judgement = await judge.judge(relation, row.text, SELECT_USING)
        is_there, steps = judgement.passes, judgement.steps
        if relation.is_view:
            is_there, below = await views.look_through(relation, row.text)
            steps = (*steps, *below)
        if is_there:
            kept, embeds = await walk.embeds(joins_of(plan), row, (), relation)
            is_there, steps = kept, (*steps, *embeds)
        findings.blame(*judgement.culprits)
        findings.add(await row_step(judge, relation, row, is_there, steps))


def cannot_look(relation: Relation, error: PostgresError) -> Step:
    """Say that hidden rows cannot be looked at."""
    return Step(
        "rows",
        "unknown",
        f"rows of {relation.name} cannot be read past row security: {error.message}",
        {"owner": relation.owner, "forced": relation.is_forced},
    )


def say_nothing_matches(relation: Relation, findings: Findings) -> None:
    """Say that policies have nothing to do with it."""
    findings.add(Step("rows", "removes", f"no row of {relation.name} matches, row security or not"))
    findings.blame(
        Culprit(
            "no_rows",
            f"No row of {relation.name} matches the filters of the request, with or without row security.",
            relation.name,
            hint="Look at the filters, and at whether the row exists.",
        )
    )


async def row_step(
    judge: Judge, relation: Relation, row: Row, passes: bool | None, steps: Sequence[Step]
) -> Step:
    """Say what became of a row."""
    name = await judge.name_of(relation, row.text)
    if passes is None:
        return Step("row", "unknown", f"{name}: whether it is seen is not known", steps=tuple(steps))
    verdict: Verdict = "passes" if passes else "removes"
    return Step("row", verdict, f"{name} {'is seen' if passes else 'is removed'}", steps=tuple(steps))


class _Walk:
    """Follows embeds down from rows that are seen."""

    def __init__(
        self, judge: Judge, views: Views, values: Sequence[str | bytes], findings: Findings, most: int
    ) -> None:
        self._judge = judge
        self._views = views
        self._values = values
        self._findings = findings
        self._most = most

    async def embeds(
        self, joins: Sequence[PlannedJoin], parent: Row, path: tuple[str, ...], relation: Relation
    ) -> tuple[bool, list[Step]]:
        """Say whether all inner embeds of a row have rows, and what became of each."""
        steps: list[Step] = []
        is_kept = True
        if parent.table is None or len(path) >= MAX_DEPTH:
            return True, steps
        for join in joins:
            found, step = await self._embed(join, parent, path, relation)
            steps.append(step)
            is_kept = is_kept and (found or not join.is_inner)
        return is_kept, steps

    async def _embed(
        self, join: PlannedJoin, parent: Row, path: tuple[str, ...], origin: Relation
    ) -> tuple[bool, Step]:
        key = join.read.source.key
        inner = (*path, key[1])
        relation = await self._judge.relation(key)
        if relation is None:
            return True, Step("embed", "unknown", f"embed {'.'.join(inner)} is no relation of its own")
        try:
            pairs = await self._linked(join, parent, relation)
        except PostgresError as error:
            return True, cannot_look(relation, error)
        name = ".".join(inner)
        if not pairs:
            return False, self._nothing_linked(join, relation, inner, origin)
        steps = [row_security(relation)]
        seen = False
        culprits: list[Culprit] = []
        for row, through in pairs:
            is_seen, step, blamed = await self._row(join, relation, row, through, inner)
            steps.append(step)
            culprits += blamed
            seen = seen or is_seen
        if not seen:
            self._findings.blame(*culprits)
            effect = "removes its parent" if join.is_inner else "is empty"
            verdict: Verdict = "removes" if join.is_inner else "info"
            return False, Step(
                "embed", verdict, f"embed {name} {effect}: none of its rows is seen", steps=tuple(steps)
            )
        return True, Step("embed", "passes", f"embed {name} has rows", steps=tuple(steps))

    def _nothing_linked(
        self, join: PlannedJoin, relation: Relation, path: tuple[str, ...], origin: Relation
    ) -> Step:
        title = f"embed {'.'.join(path)}: no row of {relation.name} is related, row security or not"
        if join.is_inner:
            self._findings.blame(
                Culprit(
                    "no_related_row",
                    f"The inner embed {'.'.join(path)} removes its parent: no row of {relation.name} that "
                    f"matches the filters is related to the row of {origin.name}.",
                    relation.name,
                    path,
                    rows=1,
                )
            )
        return Step("embed", "removes" if join.is_inner else "info", title)

    async def _linked(
        self, join: PlannedJoin, parent: Row, relation: Relation
    ) -> list[tuple[Row, tuple[Relation, Row] | None]]:
        """Return the rows that hang on a parent, each with the row of the junction that ties it."""
        at = Place(len(self._values), len(self._values) + 1)
        source = join.link.equal[0][1].source if join.link.equal else None
        parents = [side.source for pair in join.link.equal for side in pair]
        own = {join.read.source, join.link.junction}
        origin = next((one for one in parents if not isinstance(one, str) and one not in own), source)
        if join.read.source.computed is not None:
            origin = join.read.source.computed.parent
        assert origin is not None
        assert not isinstance(origin, str)
        asked = embedded(join, origin, at, most=self._most, is_stored=relation.is_stored)
        values = [*self._values, parent.table or "", parent.position or ""]
        async with self._judge.held.as_owner():
            found = await self._judge.held.rows(asked.text, asked.choose(values))
        junction = join.link.junction
        between = await self._judge.relation(junction.key) if junction is not None else None
        pairs: list[tuple[Row, tuple[Relation, Row] | None]] = []
        for record in found:
            texts = list(record.values())
            through = None if between is None else (between, Row(*texts[3:]))
            pairs.append((Row(*texts[:3]), through))
        return pairs

    async def _row(
        self,
        join: PlannedJoin,
        relation: Relation,
        row: Row,
        through: tuple[Relation, Row] | None,
        path: tuple[str, ...],
    ) -> tuple[bool, Step, list[Culprit]]:
        """Say whether a row of an embed is seen."""
        judgements: list[Judgement] = [await self._judge.judge(relation, row.text, SELECT_USING, path)]
        if through is not None:
            between, tie = through
            judgements.append(await self._judge.judge(between, tie.text, SELECT_USING, path))
        steps = [step for one in judgements for step in one.steps]
        culprits = [culprit for one in judgements for culprit in one.culprits]
        passes = None if any(one.passes is None for one in judgements) else not culprits
        if relation.is_view:
            passes, below = await self._views.look_through(relation, row.text)
            steps += below
        if passes:
            passes, deeper = await self.embeds(join.read.joins, row, path, relation)
            steps += deeper
        return bool(passes), await row_step(self._judge, relation, row, passes, steps), culprits
