"""An event becomes a signed request, is tried until it is taken or given up, and is accounted for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from monohull.kernel.clock import monotonic_seconds
from tests.integration.webhooks.receiver import Answer
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from tests.integration.webhooks.office import Office

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_signed_request(office: Office) -> None:
    there = await office.endpoint(headers={"Authorization": "Bearer of-theirs", "X-Shop": "1"})
    (event_id,) = await there.happen({"total": 12.50, "text": "Größe \u0001"}, key="order:1")
    (got,) = await office.receiver.arrived(there.path)
    body = got.verify(there.secret)
    assert (body["id"], body["type"], body["key"]) == (event_id, f"{there.name}.happened", "order:1")
    assert body["data"] == {"data": {"total": 12.50, "text": "Größe \u0001"}}
    assert (got.id, got.headers["content-type"]) == (event_id, "application/json")
    assert (got.headers["authorization"], got.headers["monohull-attempt"]) == ("Bearer of-theirs", "1")
    with pytest.raises(WebhookVerificationError):
        got.verify("whsec_" + "A" * 44)
    (delivery,) = await there.settled()
    assert (delivery["state"], delivery["attempts"], delivery["status"]) == ("delivered", 1, 200)
    assert got.headers["monohull-delivery"] == delivery["id"]
    detail = await there.detail(delivery["id"])
    (attempt,) = detail["attempts"]
    assert (attempt["outcome"], attempt["status"], attempt["response_body"]) == ("delivered", 200, "taken")
    assert (
        attempt["request_headers"]["Authorization"]
        == attempt["request_headers"]["webhook-signature"]
        == "***"
    )
    assert attempt["request_headers"]["webhook-id"] == event_id
    assert "of-theirs" not in str(detail)
    assert there.secret not in str(await office.rows("select secret from monohull.webhook_secrets"))
    assert "of-theirs" not in str(await office.rows("select headers from monohull.webhook_endpoints"))


async def test_tried_again_with_the_same_id(office: Office) -> None:
    there = await office.endpoint()
    large = Answer(status=500, body=b"\0" + b"x" * 5000, headers={"set-cookie": "a=secret"})
    office.receiver.plan[there.path] = [large, Answer(status=503, headers={"retry-after": "1"}), Answer()]
    (event_id,) = await there.happen(1)
    first, second, third = await office.receiver.arrived(there.path, 3)
    assert {one.id for one in (first, second, third)} == {event_id}
    assert first.body == second.body == third.body
    assert third.at - second.at >= 1.0, "Retry-After is obeyed"
    assert second.at - first.at < 4.5, "and without one it is not the five seconds of every day"
    third.verify(there.secret)
    (delivery,) = await there.settled()
    attempts = (await there.detail(delivery["id"]))["attempts"]
    assert [(one["number"], one["outcome"], one["status"]) for one in attempts] == [
        (1, "failed", 500), (2, "failed", 503), (3, "delivered", 200),
    ]  # fmt: skip
    assert len(attempts[0]["response_body"]) == 1000
    assert attempts[0]["response_headers"]["set-cookie"] == "***"


async def test_given_up_and_replayed(office: Office) -> None:
    there = await office.endpoint(max_attempts=2)
    office.receiver.plan[there.path] = [Answer(status=404)]
    ids = await there.happen("a", "b")
    dead = await there.settled(2)
    assert [(one["state"], one["attempts"], one["reason"]) for one in dead] == [("dead", 2, "status")] * 2
    office.receiver.plan[there.path] = [Answer()]
    answer = await office.call("POST", f"/deliveries/{dead[0]['id']}/replay")
    assert answer.status_code == 202, answer.text
    again = answer.json()
    assert (again["kind"], again["replay_of"], again["event_id"]) == ("replay", dead[0]["id"], ids[0])
    await office.receiver.arrived(there.path, 5)
    answer = await office.call("POST", "/replays", {"endpoint_id": there.id, "state": "dead", "limit": 1})
    assert answer.json()["deliveries"] == 1
    rest = {"endpoint_id": there.id, "state": "dead", "cursor": answer.json()["next"]}
    assert (await office.call("POST", "/replays", rest)).json() == {"deliveries": 1, "next": None}
    assert (await office.call("POST", "/replays", {"endpoint_id": there.id, "until": "2020-01-01T00:00:00Z"})
            ).json()["deliveries"] == 0  # fmt: skip
    requests = (await office.receiver.arrived(there.path, 7))[4:]
    assert [one.id for one in requests] == [ids[0], *ids]
    assert requests[0].headers["monohull-replay-of"] == dead[0]["id"]
    assert [one["state"] for one in await there.settled(5)] == ["dead"] * 2 + ["delivered"] * 3


async def test_two_secrets_while_they_overlap(office: Office) -> None:
    there = await office.endpoint()
    answer = await office.call("POST", f"/endpoints/{there.id}/secrets", {"overlap_hours": 1})
    assert answer.status_code == 201, answer.text
    new = answer.json()["secret"]
    await there.happen(1)
    (got,) = await office.receiver.arrived(there.path)
    assert got.verify(new) == got.verify(there.secret)
    new_id, old_id = [one["id"] for one in await office.ask(f"/endpoints/{there.id}/secrets")]
    answer = await office.call("DELETE", f"/endpoints/{there.id}/secrets/{new_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "last_webhook_secret")
    assert (await office.call("DELETE", f"/endpoints/{there.id}/secrets/{old_id}")).status_code == 204
    await there.happen(2)
    got = (await office.receiver.arrived(there.path, 2))[1]
    got.verify(new)
    with pytest.raises(WebhookVerificationError):
        got.verify(there.secret)


async def test_patterns_and_filters(office: Office) -> None:
    paid = {"field": "data.status", "op": "eq", "value": "paid"}
    much = {"field": "data.total", "op": "gte", "value": 100}
    there = await office.endpoint(filters=[paid, much])
    everything = await office.endpoint(events=["*"])
    orders: list[Any] = [
        {"status": "paid", "total": 99.9}, {"status": "open", "total": 100}, {"total": 200},
        {"status": "paid", "total": "many"}, {"status": "paid", "total": 100},
    ]  # fmt: skip
    ids = await there.happen(*orders)
    (got,) = await office.receiver.arrived(there.path)
    assert got.json["data"]["data"] == {"status": "paid", "total": 100}
    await office.receiver.until(lambda: set(ids) <= {one.id for one in office.receiver.at(everything.path)})
    assert len(await there.settled()) == 1
    await everything.change(is_enabled=False)


async def test_order_by_key(office: Office) -> None:
    """The next one of a key waits until the one before is delivered or dead; other keys do not wait."""
    there = await office.endpoint(is_ordered=True, max_attempts=4)
    office.receiver.plan[there.path] = [Answer(status=500)] * 3 + [Answer()]
    first = await there.happen("a1", "a2", "a3", key="a")
    await there.happen("b1", "b2", key="b")
    await there.settled(5)
    taken: dict[str, list[str]] = {"a": [], "b": []}
    for got in office.receiver.at(there.path):
        taken[got.json["key"]].append(got.json["data"]["data"])
    assert list(dict.fromkeys(taken["a"])) == ["a1", "a2", "a3"]
    assert taken["a"] == sorted(taken["a"]), "none overtook another"
    assert list(dict.fromkeys(taken["b"])) == ["b1", "b2"]
    assert [one["event_id"] for one in await there.deliveries()][:3] == first


async def test_the_breaker(office: Office) -> None:
    """Opens after so many failures in a row; then one request at a time tries, and success closes it."""
    there = await office.endpoint(breaker_failures=3, concurrency=1)
    await office.execute(
        "update monohull.webhook_endpoints set breaker_seconds = 600 where id = $1", there.id
    )
    office.receiver.plan[there.path] = [Answer(status=500)]
    await there.happen(*range(20))
    await office.receiver.arrived(there.path, 3)
    view = await eventually(there.view, lambda found: found["circuit"] == "open")
    assert view["consecutive_failures"] == 3
    await asyncio.sleep(0.2)
    assert len(office.receiver.at(there.path)) == 3
    sooner = (
        "update monohull.webhook_endpoints set breaker_seconds = 1.5, "
        "opened_until = opened_until - interval '598.5 seconds' where id = $1"
    )
    await office.execute(sooner, there.id)
    probe = (await office.receiver.arrived(there.path, 4))[3]
    assert probe.at - office.receiver.at(there.path)[2].at >= 1.5
    assert office.receiver.busiest[there.path] == 1
    office.receiver.plan[there.path] = [Answer()]
    found = await there.settled(20)
    assert {one["state"] for one in found} == {"delivered"}
    assert (await there.view())["circuit"] == "closed"


async def test_concurrency_and_rate(office: Office) -> None:
    slow = await office.endpoint(concurrency=2)
    office.receiver.plan[slow.path] = [Answer(wait_seconds=0.3)]
    rated = await office.endpoint(rate_per_second=5)
    await slow.happen(*range(8))
    await rated.happen(*range(10))
    await slow.settled(8)
    assert office.receiver.busiest[slow.path] == 2
    await rated.settled(10)
    (spent,) = await office.rows(
        "select extract(epoch from e.tokens_at - min(d.created_at)) as seconds "
        "from monohull.webhook_endpoints as e join monohull.webhook_deliveries as d on d.endpoint_id = e.id "
        "where e.id = $1::text::uuid group by e.id",
        rated.id,
    )
    # by the clock that counts: requests arrive closer together where the machine stalls
    assert spent["seconds"] >= 0.9, "five at once, then five more in a second"


async def test_answers_that_are_none(office: Office) -> None:
    """What a receiver may do instead of answering ends in time, with a reason."""
    wanted = {
        "timeout": Answer(manner="hang"),
        "response_too_large": Answer(manner="endless", status=500),
        "redirect": Answer(status=302, headers={"location": office.receiver.url("/elsewhere")}),
        "encoding": Answer(status=500, headers={"content-encoding": "br"}),
    }
    listeners = {}
    for reason, answer in wanted.items():
        limits: dict[str, Any] = {"timeout_seconds": 1} if reason == "timeout" else {}
        listeners[reason] = await office.endpoint(max_attempts=1, **limits)
        office.receiver.plan[listeners[reason].path] = [answer]
        await listeners[reason].happen(1)
    drip = await office.endpoint(max_attempts=1, timeout_seconds=1)
    office.receiver.plan[drip.path] = [Answer(manner="drip", body=b"x" * 1000)]
    await drip.happen(1)
    found = {reason: (await one.settled())[0] for reason, one in listeners.items()}
    assert {reason: one["reason"] for reason, one in found.items()} == {reason: reason for reason in wanted}
    assert (await drip.settled())[0]["reason"] == "timeout"
    assert office.receiver.at("/elsewhere") == []
    nobody = await office.endpoint(max_attempts=1, url="http://127.0.0.1:9/")
    await nobody.happen(1)
    assert (await nobody.settled())[0]["reason"] == "connect"


async def test_taken_with_an_answer_that_is_not_read(office: Office) -> None:
    """2xx says that the receiver has the event; sending it again for the answer's body would be wrong."""
    for answer in (Answer(manner="endless"), Answer(headers={"content-encoding": "br"})):
        there = await office.endpoint()
        office.receiver.plan[there.path] = [answer]
        await there.happen(1)
        (delivery,) = await there.settled()
        assert (delivery["state"], delivery["attempts"], delivery["status"]) == ("delivered", 1, 200)
        (attempt,) = (await there.detail(delivery["id"]))["attempts"]
        assert attempt["message"].endswith("the event counts as taken.")


async def test_what_we_never_send(office: Office) -> None:
    """A body above the limit is given up at once, and says nothing about the endpoint."""
    there = await office.endpoint()
    await there.happen("x" * 5_000_000)
    (delivery,) = await there.settled()
    assert (delivery["state"], delivery["attempts"], delivery["reason"]) == ("dead", 1, "request_too_large")
    assert (await there.view())["consecutive_failures"] == 0
    assert office.receiver.at(there.path) == []


async def test_gone(office: Office) -> None:
    """410 disables the endpoint: what waits is given up, an event and a mail say so."""
    owner = await office.staff.hired("developer")
    there = await office.endpoint(by=owner, concurrency=1)
    # it answers once all four have their deliveries: what comes after the endpoint's end has none
    have_deliveries = asyncio.Event()
    office.receiver.plan[there.path] = [Answer(status=410, gate=have_deliveries)]
    await there.happen(*range(4))
    await eventually(there.deliveries, lambda found: len(found) == 4)
    have_deliveries.set()
    found = await there.settled(4)
    assert [one["state"] for one in found] == ["dead"] * 4
    assert {one["reason"] for one in found} == {"gone", "endpoint_disabled"}
    view = await there.view()
    assert (view["is_enabled"], view["disabled_reason"]) == (False, "gone")
    (event,) = await office.rows(
        "select payload::text from monohull.outbox where name = 'webhooks.endpoint_disabled' and key = $1",
        there.id,
    )
    assert str(owner.id) in event["payload"]
    mails = await office.rows(
        "select arguments::text as said from monohull.jobs where name = 'auth.send_mail'"
    )
    assert any(owner.email in mail["said"] and "webhook_disabled" in mail["said"] for mail in mails)
    (unheard,) = await there.happen("unheard")
    await office.relayed(unheard)
    answer = await office.call("POST", f"/endpoints/{there.id}/test")
    assert (answer.status_code, answer.json()["code"]) == (409, "webhook_disabled")
    assert (await office.call("POST", f"/deliveries/{found[0]['id']}/replay")).status_code == 409
    office.receiver.plan[there.path] = [Answer()]
    await there.change(is_enabled=True)
    await there.happen("heard again")
    assert (await office.receiver.arrived(there.path, 2))[1].json["data"]["data"] == "heard again"


async def test_failing_for_too_long(office: Office) -> None:
    there = await office.endpoint(max_attempts=1)
    office.receiver.plan[there.path] = [Answer(status=500)]
    await there.happen(1)
    await there.settled()
    query = "update monohull.webhook_endpoints set failing_since = now() - interval '6 days' where id = $1"
    await office.execute(query, there.id)
    await there.happen(2)
    await there.settled(2)
    await office.receiver.arrived(there.path, 2)
    deadline = monotonic_seconds() + PATIENCE_SECONDS
    while (view := await there.view())["is_enabled"]:
        assert monotonic_seconds() < deadline
        await asyncio.sleep(0.05)
    assert view["disabled_reason"] == "failing"


async def test_send_a_test(office: Office) -> None:
    there = await office.endpoint()
    answer = await office.call("POST", f"/endpoints/{there.id}/test")
    assert (answer.status_code, answer.json()["kind"]) == (202, "test")
    (got,) = await office.receiver.arrived(there.path)
    assert got.verify(there.secret)["type"] == "webhooks.test"
    (delivery,) = await there.settled()
    assert (delivery["event"], delivery["state"]) == ("webhooks.test", "delivered")
