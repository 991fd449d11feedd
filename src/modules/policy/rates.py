"""Whether a request would be refused with 429 now: by the data API's rate, or a key's rate or quota."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from modules.api_keys import look_at_key_limits
from modules.policy.findings import Culprit, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.policy.findings import Findings
    from modules.rest import DataApi
    from monohull.kernel.principal import Principal
    from monohull.kernel.ratelimit import Decision
    from monohull.kernel.runtime import Runtime

_COUNTS: Final = {
    "rest": "requests of the caller to the data API",
    "api-key": "requests of the key",
    "quota": "requests of the key in its day or month",
}


async def examine_rates(
    runtime: Runtime, api: DataApi, scope: Mapping[str, Any], principal: Principal, findings: Findings
) -> None:
    """Say of each rule that counts the caller what it would tell a request now; none is counted."""
    decisions: list[Decision] = []
    if (decision := await api.gate.look(principal, scope)) is not None:
        decisions.append(decision)
    if principal.key_id is not None:
        decisions += await look_at_key_limits(runtime, UUID(principal.key_id))
    for one in decisions:
        findings.add(_step(one))
        if not one.allowed:
            findings.blame(_culprit(one))


def _step(one: Decision) -> Step:
    limit = one.limit
    evidence = {
        "rule": limit.name,
        "remaining": one.remaining,
        "reset_seconds": one.reset_seconds,
        "retry_after_seconds": one.retry_after_seconds,
    }
    if one.allowed:
        return Step("rate", "passes", f"rule {limit.name} lets a request pass now", evidence)
    title = f"rule {limit.name} would refuse a request now with 429, for {one.retry_after_seconds} s"
    return Step("rate", "refuses", title, evidence)


def _culprit(one: Decision) -> Culprit:
    limit = one.limit
    return Culprit(
        "rate",
        f"A request would be 429 now: the rule {limit.name} counts {_COUNTS.get(limit.name, 'requests')}, "
        f"{limit.capacity} in {limit.window_seconds} s, and none is left.",
        clause=f"rule {limit.name}",
        hint=f"Wait {one.retry_after_seconds} s, as Retry-After says, or raise the limit.",
    )
