"""A key by its id, for those who try what it may do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from modules.api_keys import owners
from modules.api_keys.principals import Issue, principal_of
from modules.api_keys.quotas import Period, Quotas
from modules.api_keys.rates import NAME
from modules.api_keys.repositories import ApiKeyRepository
from modules.api_keys.services import quota_of
from monohull.kernel import clock
from monohull.kernel.allowance import Allowance
from monohull.kernel.ratelimit import Decision, Limit, per_minute

if TYPE_CHECKING:
    from uuid import UUID

    from modules.api_keys.dtos import Quota
    from monohull.kernel.principal import Principal
    from monohull.kernel.runtime import Runtime


async def find_key_principal(runtime: Runtime, key_id: UUID) -> Principal | None:
    """Return whom a key stands for, ended or not; None where there is none."""
    async with runtime.database.unit_of_work() as work:
        row = await ApiKeyRepository(work).find_by_id(key_id)
        if row is None:
            return None
        owner = None if row.user_id is None else await owners.find_owner(work, row.user_id)
    return principal_of(row, owner, Issue.of(runtime))


async def look_at_key_limits(runtime: Runtime, key_id: UUID) -> tuple[Decision, ...]:
    """Return what rate and quota of a key would say to a request now; nothing is counted.

    What was counted in the last second is not known yet; without Redis nothing is known of the quota.
    """
    async with runtime.database.unit_of_work() as work:
        row = await ApiKeyRepository(work).find_by_id(key_id)
    found: list[Decision] = []
    if row is not None and row.rate_per_minute is not None:
        allowance = Allowance(runtime.limits, per_minute(NAME, row.rate_per_minute, fail="local"))
        found.append(await allowance.look(str(key_id)))
    quota = None if row is None else quota_of(row)
    if quota is not None:
        used = await Quotas(runtime.redis).used(str(key_id), quota)
        if used is not None:
            found.append(_decide(quota, used))
    return tuple(found)


def _decide(quota: Quota, used: int) -> Decision:
    period = Period(quota.period, clock.now())
    wait = max(1, math.ceil(period.ends_at - clock.unix_seconds()))
    allowed = used < quota.limit
    return Decision(
        allowed=allowed,
        remaining=max(0, quota.limit - used),
        reset_seconds=wait,
        retry_after_seconds=0 if allowed else wait,
        limit=Limit("quota", quota.limit, quota.limit / period.seconds),
    )
