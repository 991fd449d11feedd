"""What an explanation is made of: steps in the order in which they are decided, and who is to blame.

Everything here goes out as JSON; rows are values of columns as text, and only of those columns that a
policy reads or that make the key.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 msgspec reads it
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from modules.rest import Outcome  # noqa: TC001 msgspec reads it

Verdict: TypeAlias = Literal["passes", "refuses", "removes", "skipped", "unknown", "info"]
"""``refuses`` ends the request, ``removes`` takes a row away, ``skipped`` does not apply to it."""

Kind: TypeAlias = Literal[
    "no_rows",
    "no_related_row",
    "request",
    "rate",
    "scope",
    "column_rule",
    "exposure",
    "schema_privilege",
    "table_privilege",
    "column_privilege",
    "function_privilege",
    "no_policy",
    "policy_for_other_role",
    "policy",
    "restrictive_policy",
    "view_owner",
    "policy_error",
    "database",
]
"""What can be to blame; part of the interface, as `Culprit.kind`."""


class Step(Struct, frozen=True, omit_defaults=True):
    """One question and its answer.

    Attributes:
        kind: What was asked about, such as ``privilege`` or ``policy``.
        verdict: The answer.
        title: Question and answer as one clause.
        evidence: What PostgreSQL said, by name.
        steps: The questions that this one was made of.
    """

    kind: str
    verdict: Verdict
    title: str
    evidence: Mapping[str, Any] = {}
    steps: tuple[Step, ...] = ()


class Culprit(Struct, frozen=True, omit_defaults=True):
    """Something that made the request come to less than it asked for.

    Attributes:
        kind: What sort of thing it is.
        message: What it did, as a sentence.
        relation: Schema and name.
        path: The embedded relations that lead to it; empty at the top of the request.
        policy: Name of the policy.
        clause: What of it decided, such as ``USING for SELECT``.
        expression: The clause, as PostgreSQL prints it.
        values: Columns, calls and settings that the expression read, for the first of the rows.
        missing_claims: Claims that it read and the token does not have.
        columns: Columns that a privilege is missing for.
        rows: How many of the examined rows it removed or refused.
        hint: What to do if that is not wanted.
    """

    kind: Kind
    message: str
    relation: str | None = None
    path: tuple[str, ...] = ()
    policy: str | None = None
    clause: str | None = None
    expression: str | None = None
    values: Mapping[str, str | None] = {}
    missing_claims: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: int = 0
    hint: str | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """What is the same where the same thing met another row."""
        return self.kind, self.relation, self.path, self.policy, self.clause, self.columns


class Caller(Struct, frozen=True, omit_defaults=True):
    """Whom the request was made as."""

    kind: str
    role: str
    subject: str | None = None
    key_id: str | None = None


class Explanation(Struct, frozen=True, omit_defaults=True):
    """Why a request gives what it gives.

    Attributes:
        request: Method and address.
        caller: Whom it was made as.
        summary: The main reason, as a sentence.
        outcome: What its client is told.
        culprits: What stands in its way; empty when nothing does.
        steps: Everything that was asked, in order.
        notes: What to know about this explanation.
    """

    request: str
    caller: Caller
    summary: str
    outcome: Outcome
    culprits: tuple[Culprit, ...] = ()
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()


class Findings:
    """What is found while a request is examined."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.notes: list[str] = []
        self._culprits: dict[tuple[object, ...], Culprit] = {}

    def add(self, *steps: Step) -> None:
        """Add steps at the end."""
        self.steps += steps

    def precede(self, *steps: Step) -> None:
        """Add steps in front of those that were found already."""
        self.steps[:0] = steps

    def blame(self, *culprits: Culprit) -> None:
        """Add culprits; one that is known has met one more row."""
        for culprit in culprits:
            known = self._culprits.get(culprit.identity)
            if known is None:
                self._culprits[culprit.identity] = culprit
            else:
                self._culprits[culprit.identity] = replace(known, rows=known.rows + culprit.rows)

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    @property
    def culprits(self) -> tuple[Culprit, ...]:
        """What is to blame, in the order in which it was found."""
        return tuple(self._culprits.values())

    @property
    def is_refused(self) -> bool:
        """Whether a step was found that ends the request, whenever it is made."""
        return any(step.verdict == "refuses" and step.kind != "rate" for step in self.steps)
