"""Sign-ins that fail, keys and people that are refused: in the log, and nobody fills it with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from modules.auth import lockout
from monohull.kernel.counted import MAX_CALLERS, AccessRefused, CountedEvents
from monohull.kernel.database.engine import Database
from monohull.kernel.errors import Unavailable
from monohull.kernel.observation import Observation, Observer
from tests.application import running_app
from tests.integration.api_keys.keyring import ask, made
from tests.integration.audit.log import Log
from tests.integration.rbac.staff import Staff

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections

SETTINGS = {
    "auth_rate_limit_otp": "100000",
    "auth_rate_limit_token_refresh": "100000",
    "auth_rate_limit_account_failures": "3",
}
NOWHERE = "postgresql://nobody:x@127.0.0.1:9/nothing"


@pytest.fixture
async def staff(connections: Connections) -> AsyncIterator[Staff]:
    async with running_app(connections, **SETTINGS) as served:
        yield Staff(served)


async def refusals(staff: Staff) -> list[Any]:
    """Write down what was counted, and return the entries about it with what they say."""
    runtime = staff.served.runtime
    await runtime.counted.settle(everything=True)
    log = Log(runtime)
    await log.write()
    entries = [dict(entry) for entry in await log.entries()]
    said = ("auth.sign_in_failed", "auth.sign_in_refused", "platform.access_refused", "api_keys.key_refused")
    found = [entry for entry in entries if entry["action"] in said]
    for entry in found:
        entry["said"] = msgspec.json.decode(entry["after_text"])
    return found


def total(entries: list[Any], action: str) -> int:
    return sum(entry["said"]["count"] for entry in entries if entry["action"] == action)


async def test_failed_and_refused_sign_ins(staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockout, "FIRST_WAIT_SECONDS", 600)
    person = await staff.people.sign_up()
    answers = []
    for number in range(6):
        answer = await staff.people.grant("password", email=person.email, password=f"wrong-{number}")
        answers.append(answer.status_code)
        await staff.served.runtime.counted.settle()
    assert answers == [400] * 4 + [429] * 2
    nobody = await staff.people.grant("password", email="nobody@example.com", password="wrong-nobody")
    assert nobody.status_code == 400
    code = {"type": "email", "email": person.email, "token": "123456"}
    assert (await staff.served.client.post("/auth/v1/verify", json=code)).status_code == 403
    found = await refusals(staff)
    assert (total(found, "auth.sign_in_failed"), total(found, "auth.sign_in_refused")) == (6, 2)
    first = found[0]
    assert (first["object_kind"], first["object_id"]) == ("user", str(person.id))
    assert (first["actor_kind"], first["address"]) == ("anonymous", "127.0.0.1")
    assert first["said"]["method"] == "password"
    assert "wrong-" not in str(found)
    assert person.email not in str(found)
    assert (await staff.people.sign_up()).tokens, "who is not concerned goes on"


async def test_a_guard_that_refuses(staff: Staff) -> None:
    person = await staff.hired("viewer")
    for _ in range(40):
        assert (await staff.call("POST", "/roles", {"name": "x"}, by=person)).status_code == 403
        await staff.served.runtime.counted.settle()
    admin = await staff.served.client.get("/auth/v1/admin/users", headers=person.bearer)
    assert admin.status_code == 403
    assert (await staff.served.client.get("/platform/v1/roles")).status_code == 401
    found = await refusals(staff)
    assert total(found, "platform.access_refused") == 41
    assert len(found) <= 3
    first = found[0]
    assert (first["actor_kind"], first["actor_id"]) == ("user", str(person.id))
    assert first["said"]["reason"] == "This needs the permission rbac.roles:write."
    assert (first["said"]["refusal"], first["said"]["method"], first["said"]["route"]) == (
        "forbidden",
        "POST",
        "/platform/v1/roles",
    )
    assert found[-1]["said"].get("route") is None, "of several routes none is named"


async def test_keys_from_elsewhere_and_over_their_quota(staff: Staff) -> None:
    served = staff.served
    key = await made(served, permissions=["data.*"], allowed_addresses=["203.0.113.0/24"])
    spent = await made(served, permissions=["data.*"], quota={"limit": 2, "period": "day"})
    for _ in range(3):
        assert (await ask(served, key["key"], "/rest/v1/", address="198.51.100.7")).status_code == 403
    assert [(await ask(served, spent["key"], "/rest/v1/")).status_code for _ in range(5)] == [200] * 2 + [
        429
    ] * 3
    found = await refusals(staff)
    by_key = {entry["object_id"]: entry for entry in found}
    assert {entry["object_kind"] for entry in found} == {"api_key"}
    assert total(found, "api_keys.key_refused") == 6
    elsewhere, over = by_key[key["id"]], by_key[spent["id"]]
    assert (elsewhere["said"]["refusal"], elsewhere["address"]) == ("address_not_allowed", "198.51.100.7")
    assert over["said"]["refusal"] == "quota_exceeded"
    assert key["key"] not in str(found)


async def test_callers_with_one_publishable_key_are_told_apart(staff: Staff) -> None:
    served = staff.served
    key = await made(served, kind="publishable", permissions=[])
    for address in ("198.51.100.7", "203.0.113.9", "203.0.113.9"):
        refused = await ask(served, key["key"], "/platform/v1/roles", address=address)
        assert refused.status_code == 403, refused.text
    found = [entry for entry in await refusals(staff) if entry["action"] == "platform.access_refused"]
    assert {entry["address"]: entry["said"]["count"] for entry in found} == {
        "198.51.100.7": 1,
        "203.0.113.9": 2,
    }
    assert {entry["key_id"] for entry in found} == {key["id"]}


async def test_nobody_fills_the_log(staff: Staff) -> None:
    counted = staff.served.runtime.counted
    for number in range(3000):
        counted.count(
            AccessRefused(refusal="forbidden", route=f"/{number}"), caller=f"caller-{number % 1000}"
        )
    assert len(counted) == MAX_CALLERS + 1
    found = await refusals(staff)
    assert total(found, "platform.access_refused") == 3000
    assert len(found) == MAX_CALLERS + 1
    others = max(found, key=lambda entry: int(entry["said"]["count"]))
    assert (others["said"]["refusal"], others["said"]["route"]) == ("forbidden", None)
    for _ in range(100):
        counted.count(AccessRefused(refusal="forbidden"), caller="caller-1")
    await counted.settle()
    assert len(await refusals(staff)) == MAX_CALLERS + 2, "one more, once its minute is over"


async def test_what_cannot_be_written_stays_counted(staff: Staff) -> None:
    told: list[Observation] = []
    away = Database(NOWHERE)
    counted = CountedEvents(away, Observer(told.append))
    async with counted.running():
        counted.count(AccessRefused(refusal="forbidden"), caller="somebody")
        with pytest.raises(Unavailable):
            await counted.settle(everything=True)
        for _ in range(2):
            await counted._try(everything=True)  # as its own task does
        counted.count(AccessRefused(refusal="forbidden"), caller="somebody")
        counted._database = staff.served.runtime.database
    await away.close()
    (entry,) = await refusals(staff)
    assert entry["said"]["count"] == 2
    assert [type(one).__name__ for one in told] == ["RefusalsNotRecorded"]
