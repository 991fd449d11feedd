"""What roles leave of the columns that a request asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.policy.findings import Culprit, Step
from modules.query import CallPlan, ColumnAbsent, ColumnNotWritable, touched

if TYPE_CHECKING:
    from collections.abc import Collection

    from modules.policy.findings import Findings
    from modules.query import Plan
    from monohull.kernel.column_limits import ColumnRule
    from monohull.kernel.principal import Principal


def limits_of(principal: Principal) -> Step:
    """Say whether roles limit the caller in any relation."""
    if principal.columns is None:
        return Step("column_rule", "skipped", "no role limits the caller to columns")
    names = ", ".join(f"{rule.schema}.{rule.relation}" for rule in principal.columns.rules)
    return Step("column_rule", "info", f"roles limit the caller to columns of {names}")


def examine_columns(principal: Principal, plan: Plan, findings: Findings) -> None:
    """Say what the caller's roles leave of each relation that the request touches; the plan has no more."""
    if principal.columns is None:
        return
    keys = [one.relation for one in touched(plan)]
    if isinstance(plan, CallPlan) and plan.routine.relation is not None:
        keys.append(plan.routine.relation)
    for key in dict.fromkeys(keys):
        rule = principal.columns.of(*key)
        if rule is not None:
            findings.add(_step(rule))
    findings.note(
        "Columns that roles hide are as if they were not there, with the relationships that need them: "
        "select=* is what is left."
    )


def blame_rule(problem: ColumnAbsent | ColumnNotWritable, principal: Principal, findings: Findings) -> None:
    """Blame the rule that leaves out what the request names."""
    rule = None if principal.columns is None else principal.columns.of(*problem.relation)
    assert rule is not None, "without a rule nobody refuses so"
    name, is_write = f"{rule.schema}.{rule.relation}", isinstance(problem, ColumnNotWritable)
    left = rule.writes if is_write else rule.reads
    message = (
        f"The column rules of {_roles(rule)} leave {_listed(left)} of {name} to be "
        f"{'written' if is_write else 'read'}, and not {problem.column}."
    )
    findings.add(
        Step("column_rule", "refuses", message.rstrip("."), {"code": problem.code, "roles": rule.roles})
    )
    findings.blame(
        Culprit(
            "column_rule",
            message,
            name,
            columns=(problem.column,),
            hint="Leave it out of the request, or list it in the rule of one of the roles: "
            "monohull roles columns limit.",
        )
    )


def _step(rule: ColumnRule) -> Step:
    return Step(
        "column_rule",
        "passes",
        f"the column rules of {_roles(rule)} leave {_listed(rule.reads)} of "
        f"{rule.schema}.{rule.relation} to be read, {_listed(rule.writes)} to be written",
        {"roles": rule.roles, "reads": _sorted(rule.reads), "writes": _sorted(rule.writes)},
    )


def _roles(rule: ColumnRule) -> str:
    return ", ".join(rule.roles)


def _listed(names: Collection[str] | None) -> str:
    if names is None:
        return "everything"
    return ", ".join(sorted(names)) or "nothing"


def _sorted(names: Collection[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)
