"""Where from and how often a key may be used."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from modules.api_keys import quotas, rates
from monohull.kernel import clock
from tests.application import running_app
from tests.integration.api_keys.keyring import PATH, SERVICE, ask, changed, made, make
from tests.patience import eventually

if TYPE_CHECKING:
    import asyncpg
    import pytest

    from monohull.kernel.home import Connections
    from tests.application import Served


async def test_a_key_works_from_its_networks_alone(shop: Served) -> None:
    wanted = ["203.0.113.0/24", "198.51.100.7", "2001:db8::/32", "203.0.113.0/24"]
    created = await made(shop, allowed_addresses=wanted)
    assert created["allowed_addresses"] == ["203.0.113.0/24", "198.51.100.7/32", "2001:db8::/32"]
    for _ in range(2):
        for address in ("203.0.113.9", "198.51.100.7", "2001:db8::1", "::ffff:203.0.113.9"):
            assert (await ask(shop, created["key"], address=address)).status_code == 200, address
        for address in ("203.0.114.9", "198.51.100.8", "2001:db9::1", "127.0.0.1", "::ffff:127.0.0.1"):
            refused = await ask(shop, created["key"], address=address)
            assert (refused.status_code, refused.json()["code"]) == (403, "address_not_allowed")
            # one that a socket for both kinds shows as IPv6 is named as what it is
            assert f" {address.removeprefix('::ffff:')}" in refused.json()["message"]
    for path in (PATH, "/auth/v1/admin/users"):
        refused = await ask(shop, created["key"], path)
        assert refused.status_code == 403
        assert "address_not_allowed" in refused.text


async def test_the_address_is_the_clients_and_not_a_proxys(
    database: asyncpg.Connection,  # noqa: ARG001 filled first
    connections: Connections,
) -> None:
    async with running_app(connections, trusted_proxies="10.0.0.0/8") as served:
        key = (await made(served, allowed_addresses=["203.0.113.0/24"]))["key"]

        async def status(peer: str, forwarded: str) -> int:
            return (await ask(served, key, address=peer, **{"X-Forwarded-For": forwarded})).status_code

        assert await status("10.0.0.1", "203.0.113.9") == 200
        assert await status("10.0.0.1", "203.0.113.9, 10.0.0.2") == 200
        assert await status("10.0.0.1", "203.0.113.9, 192.0.2.1") == 403, "the last hop before ours says it"
        assert await status("192.0.2.1", "203.0.113.9") == 403, "nobody trusts this one"
        assert await status("203.0.113.9", "192.0.2.1") == 200


async def test_networks_that_are_none(shop: Served) -> None:
    for entry in ("203.0.113.9/24", "example.com", "", "10.0.0.0/33", "::1::", "*"):
        answer = await make(shop, allowed_addresses=[entry])
        assert (answer.status_code, answer.json()["code"]) == (400, "addresses_invalid"), entry


async def test_requests_a_minute(shop: Served) -> None:
    created = await made(shop, rate_per_minute=3)
    other = (await made(shop))["key"]
    assert [(await ask(shop, created["key"])).status_code for _ in range(3)] == [200, 200, 200]
    for path in ("/rest/v1/products", PATH):
        refused = await ask(shop, created["key"], path)
        assert refused.status_code == 429, refused.text
        assert refused.json()["code"] == "rate_limited"
        assert 1 <= int(refused.headers["retry-after"]) <= 20
        assert refused.headers["ratelimit"].startswith('"api-key";r=0;t=')
        assert refused.headers["ratelimit-policy"] == '"api-key";q=3;w=60'
    assert (await ask(shop, other)).status_code == 200
    await changed(shop, created["id"], rate_per_minute=None)
    assert (await ask(shop, created["key"])).status_code == 200


async def test_requests_a_day(shop: Served) -> None:
    created = await made(shop, quota={"limit": 3, "period": "day"})
    assert [(await ask(shop, created["key"])).status_code for _ in range(3)] == [200, 200, 200]
    for _ in range(2):
        refused = await ask(shop, created["key"])
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
        assert 1 <= int(refused.headers["retry-after"]) <= 86_400
        assert refused.headers["ratelimit"] == f'"quota";r=0;t={refused.headers["retry-after"]}'
        assert refused.headers["ratelimit-policy"] == '"quota";q=3;w=86400'
    shown = (await shop.client.get(f"{PATH}/{created['id']}", headers=SERVICE)).json()
    assert (shown["quota"], shown["quota_used"]) == ({"limit": 3, "period": "day"}, 3)
    await changed(shop, created["id"], quota={"limit": 4, "period": "day"})
    assert [(await ask(shop, created["key"])).status_code for _ in range(2)] == [200, 429]


async def test_the_next_day_begins_anew(shop: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    today = datetime(2030, 2, 27, 23, 59, 58, tzinfo=UTC)
    now = [today]
    monkeypatch.setattr(clock, "now", lambda: now[0])
    monkeypatch.setattr(clock, "unix_seconds", lambda: int(now[0].timestamp()))
    key = (await made(shop, quota={"limit": 1, "period": "day"}))["key"]
    assert [(await ask(shop, key)).status_code for _ in range(2)] == [200, 429]
    assert (await ask(shop, key)).headers["retry-after"] == "2"
    now[0] = today.replace(day=28, hour=0, minute=0, second=0)
    assert [(await ask(shop, key)).status_code for _ in range(2)] == [200, 429]


async def test_processes_agree(
    database: asyncpg.Connection,  # noqa: ARG001 filled first
    connections: Connections,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quotas, "INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(rates, "INTERVAL_SECONDS", 0.05)
    rounds: Counter[int] = Counter()
    for kind in (quotas.Quotas, rates.Rates):

        async def settle(self: Any, settle: Any = kind.settle) -> None:
            await settle(self)
            rounds[id(self)] += 1

        monkeypatch.setattr(kind, "settle", settle)

    async def agree() -> None:
        """Wait until both processes have told and heard all that was counted by now."""
        before = Counter(rounds)
        await eventually(lambda: len(rounds) == 4 and all(rounds[at] >= before[at] + 2 for at in rounds))

    async with running_app(connections) as here, running_app(connections) as there:
        limits = ({"quota": {"limit": 4, "period": "month"}}, {"rate_per_minute": 4})
        for wanted in limits:
            key, began = (await made(here, **wanted))["key"], clock.monotonic_seconds()
            assert [(await ask(here, key)).status_code for _ in range(3)] == [200, 200, 200]
            await agree()
            assert (await ask(there, key)).status_code == 200, wanted
            await agree()
            statuses = [(await ask(served, key)).status_code for served in (there, here, there, here)]
            back = int((clock.monotonic_seconds() - began) * 4 / 60) if "rate_per_minute" in wanted else 0
            assert statuses.count(429) >= 3 - back, "one more at most, from the process that had some left"


async def test_what_was_used_outlives_the_process(
    database: asyncpg.Connection,  # noqa: ARG001 filled first
    connections: Connections,
) -> None:
    async with running_app(connections) as served:
        key = (await made(served, quota={"limit": 2, "period": "day"}))["key"]
        assert (await ask(served, key)).status_code == 200
    async with running_app(connections) as served:
        assert [(await ask(served, key)).status_code for _ in range(2)] == [200, 429]


async def test_bodies_that_are_refused(shop: Served) -> None:
    for wanted in (
        {"rate_per_minute": 0},
        {"quota": {"limit": 0, "period": "day"}},
        {"quota": {"limit": 1, "period": "hour"}},
        {"quota": {"limit": 1}},
        {"quota": 7},
        {"allowed_addresses": "203.0.113.9"},
    ):
        answer = await make(shop, **wanted)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), wanted
