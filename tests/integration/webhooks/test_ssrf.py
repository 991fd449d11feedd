"""No webhook reaches what is not on the public internet; why stands in the delivery's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.webhooks.receiver import Answer

if TYPE_CHECKING:
    from tests.integration.webhooks.office import Listener, Office

pytestmark = pytest.mark.asyncio(loop_scope="module")

LITERALS = {
    "http://127.0.0.2/": "address",  # 127.0.0.1 alone is allowed here
    "http://169.254.169.254/latest/meta-data": "address",
    "http://10.1.2.3/": "address",
    "http://172.16.0.1/": "address",
    "http://192.168.1.1/": "address",
    "http://100.64.0.1/": "address",
    "http://0.0.0.0/": "address",
    "http://255.255.255.255/": "address",
    "http://224.0.0.1/": "address",
    "http://[::1]/": "address",
    "http://[::]/": "address",
    "http://[fe80::1]/": "address",
    "http://[fc00::1]/": "address",
    "http://[fd00:ec2::254]/": "address",
    "http://[::ffff:10.0.0.1]/": "address",
    "http://[::ffff:a9fe:a9fe]/": "address",
    "http://[64:ff9b::10.0.0.1]/": "address",
    "http://[2002:a00:1::]/": "address",
    "http://2130706434/": "host",
    "http://0x7f000002/": "host",
    "http://0177.0.0.2/": "url",
    "http://127.2/": "host",
    "http://[fe80::1%25eth0]/": "host",
    "ftp://example.com/": "scheme",
    "file:///etc/passwd": "scheme",
    "http://user:password@example.com/": "credentials",
}
"""Refused when the endpoint is made, and again when an endpoint got such a URL in another way."""

ANSWERS = {
    "10.0.0.1": [["10.0.0.1"]],
    "::1": [["::1"]],
    "link-local": [["169.254.169.254"]],
    "mapped": [["::ffff:10.0.0.1"]],
    "public and private": [["93.184.216.34", "10.0.0.1"]],
    "nothing usable": [["not an address"]],
}


async def endpoint_at(office: Office, url: str) -> Listener:
    """Return an endpoint with a URL that the API would not take."""
    there = await office.endpoint(max_attempts=1)
    await office.execute("update monohull.webhook_endpoints set url = $2 where id = $1", there.id, url)
    return there


async def refused(there: Listener) -> str:
    """Return the reason in the log of the only attempt."""
    (delivery,) = await there.settled()
    (attempt,) = (await there.detail(delivery["id"]))["attempts"]
    assert (delivery["state"], attempt["outcome"], attempt["status"]) == ("dead", "failed", None)
    assert attempt["message"]
    return str(attempt["reason"])


async def test_addresses_in_urls(office: Office) -> None:
    listeners = {}
    for url, reason in LITERALS.items():
        body = {"name": "x", "url": url, "events": ["shop.*"]}
        answer = await office.call("POST", "/endpoints", body)
        assert (answer.status_code, answer.json()["code"]) == (400, "webhook_url_refused"), url
        assert answer.json()["details"] == reason, url
        listeners[url] = await endpoint_at(office, url)
        await listeners[url].happen(1)
    assert {url: await refused(there) for url, there in listeners.items()} == LITERALS


async def test_names_that_lead_inside(office: Office) -> None:
    found = {}
    for number, (title, answers) in enumerate(ANSWERS.items()):
        host = f"host-{number}.test"
        office.names[host] = list(answers)
        there = await office.endpoint(max_attempts=1, url=f"http://{host}:{office.receiver.port}/inside")
        await there.happen(1)
        found[title] = await refused(there)
    assert found == dict.fromkeys(ANSWERS, "address")
    assert office.receiver.at("/inside") == []


async def test_a_name_that_changes_its_mind(office: Office) -> None:
    """Rebinding: what is connected to is what was checked, and a new connection is checked anew."""
    office.names["rebinding.test"] = [["10.0.0.1"], ["127.0.0.2"]]
    url = f"http://rebinding.test:{office.receiver.port}/rebound"
    there = await office.endpoint(max_attempts=3, url=url)
    await there.happen(1)
    (delivery,) = await there.settled()
    attempts = (await there.detail(delivery["id"]))["attempts"]
    assert [one["reason"] for one in attempts] == ["address"] * 3
    assert office.receiver.at("/rebound") == []


async def test_redirects_lead_nowhere(office: Office) -> None:
    """Not to a private address, and not to one that is allowed either."""
    for target in ("http://169.254.169.254/", "http://[::1]/", office.receiver.url("/inner"), "//10.0.0.1/"):
        there = await office.endpoint(max_attempts=1)
        office.receiver.plan[there.path] = [Answer(status=307, headers={"location": target})]
        await there.happen(1)
        (delivery,) = await there.settled()
        assert (delivery["state"], delivery["reason"], delivery["status"]) == ("dead", "redirect", 307)
    assert office.receiver.at("/inner") == []


async def test_an_internal_name_that_is_allowed(office: Office) -> None:
    office.names["inside.test"] = [["127.0.0.1"]]
    there = await office.endpoint(url=f"http://inside.test:{office.receiver.port}/allowed")
    await there.happen(1)
    (got,) = await office.receiver.arrived("/allowed")
    assert got.headers["host"] == f"inside.test:{office.receiver.port}"
    got.verify(there.secret)
