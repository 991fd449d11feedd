"""``/platform/v1/webhooks``: who may, what is refused and how, pages, and ``monohull webhooks``."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from modules.webhooks.verification import verify
from tests.integration.webhooks.receiver import Answer

if TYPE_CHECKING:
    from modules.webhooks.verification import Account
    from tests.integration.webhooks.office import Listener, Office

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOWHERE = str(uuid4())
URL = "https://example.com/hook"


def made(**body: Any) -> dict[str, Any]:
    return {"name": "one", "url": URL, "events": ["shop.*"]} | body


async def test_who_may(office: Office) -> None:
    there = await office.endpoint()
    await there.happen(1)
    (delivery,) = await there.settled()
    viewer, developer = await office.staff.hired("viewer"), await office.staff.hired("developer")
    requests = [
        ("GET", "/endpoints", None, 200), ("GET", f"/endpoints/{there.id}", None, 200),
        ("POST", "/endpoints", made(), 201), ("PATCH", f"/endpoints/{there.id}", {"concurrency": 3}, 200),
        ("GET", f"/endpoints/{there.id}/secrets", None, 200),
        ("POST", f"/endpoints/{there.id}/secrets", {}, 201),
        ("POST", f"/endpoints/{there.id}/test", None, 202),
        ("GET", "/deliveries", None, 200), ("GET", f"/deliveries/{delivery['id']}", None, 200),
        ("POST", f"/deliveries/{delivery['id']}/replay", None, 202), ("POST", "/replays", {"limit": 1}, 202),
        ("DELETE", f"/endpoints/{there.id}", None, 204),
    ]  # fmt: skip
    for method, path, body, status in requests:
        answer = await office.call(method, path, body, by=viewer)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
        answer = await office.call(method, path, body, by=developer)
        assert answer.status_code == status, answer.text
    assert (await office.call("GET", f"/endpoints/{there.id}")).status_code == 404
    assert (await office.call("GET", f"/deliveries/{delivery['id']}")).status_code == 404


async def test_what_is_refused(office: Office) -> None:
    there = await office.endpoint()
    cases: list[tuple[str, str, Any, int, str]] = [
        ("POST", "/endpoints", made(events=["rows.inserted"]), 400, "webhook_invalid"),
        ("POST", "/endpoints", made(events=["Shop"]), 400, "invalid_request"),
        ("POST", "/endpoints", made(events=["shop.*\n"]), 400, "invalid_request"),
        ("POST", "/endpoints", made(headers={"Host": "x"}), 400, "webhook_invalid"),
        ("POST", "/endpoints", made(headers={"Webhook-Id": "x"}), 400, "webhook_invalid"),
        ("POST", "/endpoints", made(headers={"x": "1", "X": "2"}), 400, "webhook_invalid"),
        ("POST", "/endpoints", made(headers={"x": "a\r\nb: c"}), 400, "invalid_request"),
        ("POST", "/endpoints", made(secret="whsec_AAAA"), 400, "webhook_invalid"),
        ("POST", "/endpoints", made(concurrency=0), 400, "invalid_request"),
        ("POST", "/endpoints", made(name="a\0b"), 400, "invalid_request"),
        ("POST", "/endpoints", made(retry_base_seconds=10, retry_max_seconds=1), 400, "webhook_invalid"),
        ("POST", "/endpoints", made(filters=[{"field": "a", "op": "in"}]), 400, "invalid_request"),
        ("POST", "/endpoints", made(filters=[{"field": "a", "value": "\0"}]), 400, "invalid_request"),
        ("POST", "/endpoints", made(retry_base_seconds=0.9), 400, "invalid_request"),
        ("POST", "/endpoints", made(breaker_seconds=0.001), 400, "invalid_request"),
        ("POST", "/endpoints", made(unknown=1), 400, "invalid_request"),
        ("PATCH", f"/endpoints/{there.id}", {"url": "http://10.0.0.1"}, 400, "webhook_url_refused"),
        ("PATCH", f"/endpoints/{NOWHERE}", {}, 404, "not_found"),
        ("GET", "/endpoints/nonsense", None, 404, "not_found"),
        ("GET", "/endpoints?limit=0", None, 400, "invalid_request"),
        ("GET", "/endpoints?cursor=x", None, 400, "invalid_request"),
        ("DELETE", f"/endpoints/{NOWHERE}", None, 404, "not_found"),
        ("POST", f"/endpoints/{NOWHERE}/test", None, 404, "not_found"),
        ("POST", f"/endpoints/{NOWHERE}/secrets", {}, 404, "not_found"),
        ("POST", f"/endpoints/{there.id}/secrets", {"secret": "whsec_AAAA"}, 400, "webhook_invalid"),
        ("DELETE", f"/endpoints/{there.id}/secrets/{NOWHERE}", None, 404, "not_found"),
        ("GET", f"/deliveries/{NOWHERE}", None, 404, "not_found"),
        ("GET", "/deliveries?cursor=-1", None, 400, "invalid_request"),
        ("GET", "/deliveries?state=lost", None, 400, "invalid_request"),
        ("GET", "/deliveries?event=%00", None, 400, "invalid_request"),
        ("GET", "/deliveries?since=2026-01-01T00:00:00", None, 400, "invalid_request"),
        ("POST", f"/deliveries/{NOWHERE}/replay", None, 404, "not_found"),
        ("POST", "/replays", {"endpoint_id": NOWHERE}, 404, "not_found"),
        ("POST", "/replays", {"cursor": "x"}, 400, "invalid_request"),
        ("POST", "/replays", {"since": "2026-01-01T00:00:00"}, 400, "invalid_request"),
    ]
    for method, path, body, status, code in cases:
        answer = await office.call(method, path, body)
        assert (answer.status_code, answer.json().get("code")) == (status, code), (path, body, answer.text)
    for _ in range(4):
        assert (await office.call("POST", f"/endpoints/{there.id}/secrets", {})).status_code == 201
    answer = await office.call("POST", f"/endpoints/{there.id}/secrets", {})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_webhook_secrets")


async def test_stored_headers_stay_with_their_place(office: Office) -> None:
    """Headers are write-only: who sends the requests elsewhere could read them there."""
    there = await office.endpoint(headers={"Authorization": "Bearer of-theirs"})
    path = f"/endpoints/{there.id}"
    answer = await office.call("PATCH", path, {"url": URL})
    assert (answer.status_code, answer.json()["code"]) == (400, "webhook_invalid")
    assert (await there.view())["url"] == office.receiver.url(there.path)
    await there.change(url=office.receiver.url("/elsewhere"))
    assert (await there.change(url=URL, headers={"X-Shop": "1"}))["header_names"] == ["X-Shop"]
    assert (await there.change(url=office.receiver.url("/"), headers={}))["header_names"] == []
    await there.change(url=URL)


async def test_pages_meet(office: Office) -> None:
    await office.endpoint()  # which makes two, whatever ran before
    there = await office.endpoint()
    ids = await there.happen(*range(7))
    await there.settled(7)
    seen: list[str] = []
    cursor = ""
    while True:
        page = await office.ask(f"/deliveries?endpoint_id={there.id}&limit=3{cursor}")
        seen += [one["event_id"] for one in page["deliveries"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == ids[::-1]
    first = await office.ask("/endpoints?limit=1")
    second = await office.ask(f"/endpoints?limit=1&cursor={first['next']}")
    assert first["endpoints"][0]["id"] < second["endpoints"][0]["id"]
    (one,) = await there.deliveries(event_id=ids[3])
    assert one["event"] == f"{there.name}.happened"
    assert len(await there.deliveries(event=f"{there.name}.*", state="delivered")) == 7
    assert await there.deliveries(state="dead") == []


async def account_of(office: Office, there: Listener) -> Account:
    async with office.served.runtime.database.connection() as connection:
        return await verify(
            connection, since=None, endpoint_id=there.id, retention=timedelta(days=1)  # type: ignore[arg-type]
        )  # fmt: skip


async def test_every_event_is_accounted_for(office: Office) -> None:
    there = await office.endpoint(max_attempts=1)
    office.receiver.plan[there.path] = [Answer(status=500), Answer()]
    ids = await there.happen(*range(5))
    await there.settled(5)
    account = await account_of(office, there)
    assert (account.ok, account.matched, account.states) == (True, 5, {"dead": 1, "delivered": 4})
    query = "delete from monohull.webhook_deliveries where endpoint_id = $1 and event_id = any ($2::uuid[])"
    await office.execute(query, there.id, [ids[3], ids[1]])
    account = await account_of(office, there)
    assert (account.ok, account.missing) == (False, 2)
    assert account.first_missing is not None
    assert str(account.first_missing.event_id) == ids[1]
    await there.change(events=["shop.nothing"])
    assert (await account_of(office, there)).ok, "what it matches now begins now"


async def test_what_was_done_is_told(office: Office) -> None:
    there = await office.endpoint()
    await there.change(name="renamed", headers={"X-Secret": "of-theirs"})
    await office.call("POST", f"/endpoints/{there.id}/secrets", {})
    await office.call("DELETE", f"/endpoints/{there.id}")
    rows = await office.rows(
        "select name, payload::text as said from monohull.outbox where key = $1 order by position", there.id
    )
    assert [row["name"] for row in rows] == [
        "webhooks.endpoint_created", "webhooks.endpoint_updated", "webhooks.secret_rotated",
        "webhooks.endpoint_deleted",
    ]  # fmt: skip
    assert '"fields":["headers","name"]' in rows[1]["said"]
    assert "of-theirs" not in str([row["said"] for row in rows])
