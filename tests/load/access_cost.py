"""What a request pays for access once everything about it is known: who asks, what they hold, may they.

    python -m tests.load.access_cost

Starts servers of its own, signs a user in who has three roles, makes a key with
scopes, roles, an allow-list, a rate and a quota, and asks once with each. Then it
repeats what a warm request does between its headers and its room: the standing of
the credential with its grants, the guard of a route, and for the key the decision
about what the request touches. No network, no database: that is the point. Exits
with 1 when one of them takes longer than the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from modules.query import AllColumns, Compiled, Read, Selection
from modules.query.sql.fragment import Statement
from modules.rest.scopes import Scopes
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.crypto import derive_password
from monohull.kernel.database.engine import Database
from monohull.kernel.database.migrations import Login, upgrade
from monohull.kernel.guards import requires
from monohull.kernel.home import Connections, with_login
from monohull.kernel.settings import Secret
from tests.application import JWT_SECRET, running_app
from tests.integration.api_keys.keyring import made
from tests.integration.rbac.staff import Staff
from tests.services import start_services

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from monohull.kernel.principal import Standing
    from tests.application import Served
    from tests.services import Services

LIMIT_MICROSECONDS: Final = 50.0
ROUNDS: Final = 20_000
REPEATS: Final = 9
GUARDED: Final = "platform.status:read"


class Cost(msgspec.Struct, frozen=True):
    """Of one step, in microseconds: the median of `REPEATS` runs, and the slowest."""

    name: str
    median: float
    slowest: float


class Asked(msgspec.Struct):
    """What a guard sees of a connection."""

    scope: dict[str, Any]


async def standing_of(served: Served, **headers: str) -> Standing:
    """Return what is remembered of a request with these headers, once there was one."""
    authentication = served.runtime.authentication
    raw = tuple((name.encode(), value.encode()) for name, value in headers.items())
    scope = {"type": "http", "headers": raw, "client": ("127.0.0.1", 50_000)}
    credentials = authentication.credentials(scope, dict(raw))
    while True:  # what was found out while roles changed is not kept
        await authentication.authenticate(credentials)
        if (standing := authentication.standing(credentials)) is not None:
            return standing


def guarded(standing: Standing) -> Callable[[], object]:
    """Return what a request to a route of the platform pays."""
    guard = requires(GUARDED)
    asked: Any = Asked({"state": {}})

    def step() -> None:
        principal = standing.use()
        assert principal is not None
        asked.scope["state"]["principal"] = principal
        guard(asked, asked)

    return step


def limited(standing: Standing) -> Callable[[], object]:
    """Return what a data request of a key with scopes pays: an order with two embeds."""
    scopes = Scopes("public")
    request = Read("public", "orders", Selection(items=(AllColumns(),)))
    touched = frozenset({("public", "orders"), ("public", "customers"), ("public", "products")})
    compiled = Compiled(Statement("", ""), touched)

    def step() -> None:
        principal = standing.use()
        assert principal is not None
        assert principal.scopes is not None
        scopes.demand(principal.scopes, request, compiled)

    return step


async def costs(served: Served) -> list[Cost]:
    staff = Staff(served)
    person = await staff.hired("viewer", "auditor", "developer")
    permissions = [f"data.{name}:read" for name in ("orders", "customers", "products")]
    key = await made(
        served,
        permissions=[*permissions, "platform.*"],
        allowed_addresses=["127.0.0.0/8"],
        rate_per_minute=1_000_000,
        quota={"limit": 1_000_000_000, "period": "month"},
    )
    await staff.made("/role-assignments", role="viewer", key_id=key["id"])
    token = f"Bearer {person.tokens['access_token']}"

    def user() -> Coroutine[Any, Any, Standing]:
        return standing_of(served, authorization=token)

    def by_key() -> Coroutine[Any, Any, Standing]:
        return standing_of(served, apikey=key["key"])

    return [
        await measure("a user with three roles, a guarded route", guarded, user),
        await measure("a key with a role, rate and quota, a guarded route", guarded, by_key),
        await measure("a key with scopes, rate and quota, a data request", limited, by_key),
    ]


async def measure(
    name: str,
    steps: Callable[[Standing], Callable[[], object]],
    find: Callable[[], Coroutine[Any, Any, Standing]],
) -> Cost:
    """Repeat a step; what is known of a key holds for three seconds, so it is found anew for each run."""
    runs = []
    for _ in range(REPEATS):
        step = steps(await find())
        began = monotonic_seconds()
        for _ in range(ROUNDS):
            step()
        runs.append((monotonic_seconds() - began) / ROUNDS * 1e6)
    return Cost(name, statistics.median(runs), max(runs))


async def run(services: Services) -> list[Cost]:
    password = derive_password(JWT_SECRET, "authenticator")
    database = Database(services.postgres_url)
    try:
        await upgrade(database, login=Login(password, is_reset=True))
    finally:
        await database.close()
    data_url = with_login(services.postgres_url, "authenticator", password)
    connections = Connections(Secret(services.postgres_url), Secret(data_url), Secret(services.redis_url))
    async with running_app(connections) as served:
        return await costs(served)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--limit", type=float, default=LIMIT_MICROSECONDS, help="in microseconds")
    limit = parser.parse_args().limit
    services = start_services(Path(tempfile.mkdtemp(prefix="access-cost-")))
    try:
        found = asyncio.run(run(services))
    finally:
        services.stop()
    for cost in found:
        print(f"{cost.name:<55} median {cost.median:6.2f} µs  slowest {cost.slowest:6.2f} µs")
    return 0 if max(cost.median for cost in found) < limit else 1


if __name__ == "__main__":
    sys.exit(main())
