"""Whether policies let a row through, each asked by itself, and which of them did not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from modules.policy.findings import Culprit, Step
from modules.policy.policies import (
    Phase,
    Policies,
    Policy,
    call,
    evaluate,
    read_policies,
    value_of,
    values_of,
)
from modules.policy.quoting import quoted
from modules.policy.reading import called_in, claim_at, mentions, read_by, subselects
from modules.policy.relations import find_relation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modules.policy.findings import Kind
    from modules.policy.held import Held
    from modules.policy.policies import Result
    from modules.policy.reading import Reads
    from modules.policy.relations import Relation

    Key = tuple[str, str]

SELECT_USING: Final = Phase("SELECT", "USING")
MAX_VALUE_CHARACTERS: Final = 200

_SAYS: Final = {"true": "is true", "false": "is false", "null": "is null", "error": "fails"}


class Judgement(Struct, frozen=True):
    """What came of one phase for one row.

    Attributes:
        passes: None where an expression failed.
        steps: One for each policy.
        culprits: What did not let it through.
    """

    passes: bool | None
    steps: tuple[Step, ...]
    culprits: tuple[Culprit, ...] = ()


class Asked(Struct, frozen=True):
    """One policy that was asked about a row."""

    policy: Policy
    result: Result
    evidence: Mapping[str, Any]
    error: str | None = None


class Judge:
    """Asks policies, and remembers what the catalog said of them.

    Args:
        held: Where they are asked.
        claims: Of the caller's token.
        shows_rows: Values of rows may leave.
    """

    def __init__(self, held: Held, claims: Mapping[str, Any], *, shows_rows: bool) -> None:
        self.held = held
        self._claims = claims
        self._shows_rows = shows_rows
        self._relations: dict[Key, Relation | None] = {}
        self._policies: dict[int, Policies] = {}
        self._calls: dict[str, str | None] = {}

    def acting(self, role: str) -> Judge:
        """Return a judge that asks as another role, with the same claims."""
        return Judge(self.held.acting(role), self._claims, shows_rows=self._shows_rows)

    async def relation(self, key: Key) -> Relation | None:
        """Return what PostgreSQL says of a relation."""
        if key not in self._relations:
            self._relations[key] = await find_relation(self.held, key)
        return self._relations[key]

    async def policies(self, relation: Relation) -> Policies:
        """Return the policies of a relation."""
        if relation.oid not in self._policies:
            self._policies[relation.oid] = await read_policies(self.held, relation)
        return self._policies[relation.oid]

    async def name_of(self, relation: Relation, row: str) -> str:
        """Name a row by its key, where that may be told."""
        if not self._shows_rows or not relation.primary_key:
            return f"a row of {relation.name}"
        values = await values_of(self.held, relation, row, relation.primary_key)
        key = ", ".join(f"{name}={value}" for name, value in values.items())
        return f"the row {key} of {relation.name}"

    async def judge(self, relation: Relation, row: str, phase: Phase, path: Sequence[str] = ()) -> Judgement:
        """Ask every policy of ``relation`` about a row."""
        if not relation.is_active:
            return Judgement(True, ())
        policies = await self.policies(relation)
        steps: list[Step] = []
        asked: list[Asked] = []
        for policy in policies.all:
            if not policy.concerns(phase):
                continue
            if not policy.is_for_caller:
                steps.append(_for_others(policy, relation))
                continue
            one = await self._ask(relation, policies, policy, phase, row)
            asked.append(one)
            steps.append(_step(one))
        steps += _unasked(policies.all, phase)
        culprits = _to_blame(relation, policies.all, asked, phase, tuple(path))
        if any(one.result == "error" for one in asked):
            return Judgement(None, tuple(steps), culprits)
        return Judgement(not culprits, tuple(steps), culprits)

    async def _ask(
        self, relation: Relation, policies: Policies, policy: Policy, phase: Phase, row: str
    ) -> Asked:
        expression = policy.expression(phase)
        assert expression is not None
        result, error = await evaluate(self.held, relation, expression, row)
        reads = read_by(expression, policies.reads)
        claims = {".".join(path): claim_at(self._claims, path) for path in reads.claims}
        values = await self._of_row(relation, policy, expression, row) if self._shows_rows else {}
        for name in called_in(expression):
            function = policies.functions.get(name)
            if function is not None and function.can_be_shown and not gives_claims(policies.reads[name]):
                values[function.signature] = await self._call(function.signature)
        values |= {f"claim {name}": _text(value) for name, value in claims.items()}
        for setting in reads.settings:
            if setting != "request.jwt.claim" and not setting.startswith("request.jwt.claim."):
                values[f"setting {setting}"] = await self._setting(setting)
        evidence: dict[str, Any] = {
            "policy": policy.name,
            "type": policy.kind,
            "command": policy.command,
            "roles": policy.roles,
            "clause": phase.title,
            "expression": expression,
            "result": result,
            "values": {name: _short(value) for name, value in values.items()},
            "missing_claims": tuple(name for name, value in claims.items() if value is None),
        }
        if error is not None:
            error = error if self._shows_rows else error.partition(":")[0]  # messages quote values
            evidence["error"] = error
        return Asked(policy, result, evidence, error)

    async def _of_row(
        self, relation: Relation, policy: Policy, expression: str, row: str
    ) -> dict[str, str | None]:
        """Return the columns that an expression reads, and what its selects give for the row."""
        columns = [name for name in policy.columns if mentions(expression, name)]
        values = await values_of(self.held, relation, row, columns) if columns else {}
        for label, asked in subselects(expression):
            values[label] = await value_of(self.held, relation, asked, row)
        return values

    async def _call(self, signature: str) -> str | None:
        if signature not in self._calls:
            self._calls[signature] = await call(self.held, signature)
        return self._calls[signature]

    async def _setting(self, name: str) -> str | None:
        async with self.held.as_caller():
            [row] = await self.held.fetch("SELECT current_setting($1, true) AS value", name)
        value: str | None = row["value"]
        return value


def _step(asked: Asked) -> Step:
    policy, result = asked.policy, asked.result
    title = f"policy {policy.name!r} ({policy.kind}) {_SAYS[result]}"
    verdict = {"true": "passes", "error": "unknown"}.get(result, "removes")
    if policy.is_permissive and verdict == "removes":
        return Step("policy", "info", title, asked.evidence)  # another one may let the row through
    return Step("policy", verdict, title, asked.evidence)  # type: ignore[arg-type]  # of the three


def _for_others(policy: Policy, relation: Relation) -> Step:
    roles = ", ".join(policy.roles)
    return Step(
        "policy",
        "skipped",
        f"policy {policy.name!r} ({policy.kind}) is for {roles}, and {relation.role} is not a member",
        {"policy": policy.name, "type": policy.kind, "command": policy.command, "roles": policy.roles},
    )


def _unasked(policies: Sequence[Policy], phase: Phase) -> list[Step]:
    """Mention the policies of other commands."""
    return [
        Step(
            "policy",
            "skipped",
            f"policy {policy.name!r} ({policy.kind}) is for {policy.command}"
            if policy.command not in ("ALL", phase.command)
            else f"policy {policy.name!r} ({policy.kind}) has no {phase.clause}",
            {"policy": policy.name, "type": policy.kind, "command": policy.command, "roles": policy.roles},
        )
        for policy in policies
        if not policy.concerns(phase)
    ]


def _to_blame(
    relation: Relation,
    policies: Sequence[Policy],
    asked: Sequence[Asked],
    phase: Phase,
    path: tuple[str, ...],
) -> tuple[Culprit, ...]:
    """Return what did not let the row through: nothing, where PostgreSQL would."""
    permissive = [one for one in asked if one.policy.is_permissive]
    found = [_culprit(one, relation, phase, path) for one in asked if one.result == "error"]
    if not permissive:
        found.append(_nothing_permits(relation, policies, phase, path))
    elif all(one.result in ("false", "null") for one in permissive):
        found += [_culprit(one, relation, phase, path) for one in permissive]
    found += [
        _culprit(one, relation, phase, path)
        for one in asked
        if not one.policy.is_permissive and one.result in ("false", "null")
    ]
    return tuple(found)


def _culprit(asked: Asked, relation: Relation, phase: Phase, path: tuple[str, ...]) -> Culprit:
    policy, evidence = asked.policy, asked.evidence
    kind: Kind = "policy" if policy.is_permissive else "restrictive_policy"
    if asked.result == "error":
        kind = "policy_error"
    missing: tuple[str, ...] = evidence["missing_claims"] if asked.result == "null" else ()
    message = (
        f"The {policy.kind} policy {policy.name!r} of {relation.name} {_SAYS[asked.result]} for "
        f"{phase.about} ({phase.title})."
    )
    if asked.result == "null":
        message += " Null does not count as true."
    if asked.error is not None:
        message += f" {asked.error}."
    if missing:
        message += f" The token has no claim {', '.join(missing)}."
    return Culprit(
        kind,
        message,
        relation.name,
        path,
        policy.name,
        phase.title,
        evidence["expression"],
        evidence["values"],
        missing,
        rows=1,
        hint=f"Put the claim {', '.join(missing)} into the token." if missing else None,
    )


def _nothing_permits(
    relation: Relation, policies: Sequence[Policy], phase: Phase, path: tuple[str, ...]
) -> Culprit:
    """Return the culprit where no permissive policy was asked."""
    others = [policy for policy in policies if policy.is_permissive and policy.concerns(phase)]
    command, role = phase.command, relation.role
    hint = (
        f"CREATE POLICY … ON {qualified_shown(relation.key)} FOR {command} TO {quoted(role)} "
        f"{'WITH CHECK' if phase.command == 'INSERT' else 'USING'} (…);"
    )
    if others:
        names = ", ".join(f"{one.name!r} ({', '.join(one.roles)})" for one in others)
        return Culprit(
            "policy_for_other_role",
            f"Row security of {relation.name} is on, and its policies for {command} are for other roles than "
            f"{role}: {names}.",
            relation.name,
            path,
            others[0].name,
            phase.title,
            rows=1,
            hint=hint,
        )
    about = "no policy at all" if not policies else f"no permissive policy for {command}"
    return Culprit(
        "no_policy",
        f"Row security of {relation.name} is on, and there is {about}; {phase.title} of {phase.about} "
        "is refused by default.",
        relation.name,
        path,
        clause=phase.title,
        rows=1,
        hint=hint,
    )


def qualified_shown(key: Key) -> str:
    """Quote a relation's name where it needs it."""
    return f"{quoted(key[0])}.{quoted(key[1])}"


def gives_claims(reads: Reads) -> bool:
    """Say whether a function gives all claims back; what is taken out of them is told one by one."""
    return reads.whole and not reads.claims


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def _short(value: str | None) -> str | None:
    if value is None or len(value) <= MAX_VALUE_CHARACTERS:
        return value
    return f"{value[:MAX_VALUE_CHARACTERS]}…"
