"""SAQ's page: behind a guard, whole in a browser's eyes, and harmless whatever arguments hold."""

from __future__ import annotations

import base64
import gzip
from typing import TYPE_CHECKING, Any

import pytest

from monohull.kernel.dispatch import dispatch_jobs
from tests.application import running_app, service_key
from tests.integration.jobs.module import module

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from monohull.kernel.home import Connections
    from tests.application import Served

SAQ = "/platform/v1/saq"
EVIL: dict[str, Any] = {"props": {"innerHTML": "<img src=x onerror=alert(1)>"}}


def basic(password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"me:{password}".encode()).decode()}


@pytest.fixture
async def served(connections: Connections) -> AsyncIterator[Served]:
    async with running_app(connections, modules="tests.integration.jobs") as served:
        yield served


async def get(served: Served, path: str, **headers: str) -> httpx.Response:
    return await served.client.get(SAQ + path, headers=basic(service_key()) | headers)


async def test_the_page(served: Served) -> None:
    for headers in ({}, basic("wrong"), {"authorization": "Basic %%%"}):
        for path in ("/", "/static/app.js", "/api/queues", "/api/queues/default"):
            answer = await served.client.get(SAQ + path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "page_unauthenticated"), path
            assert answer.headers["www-authenticate"].startswith("Basic ")
    for path in ("/", "", "/queues/monohull.default", "/queues/monohull.default/jobs/x"):
        page = await get(served, path)
        assert page.status_code == 200
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert "<script>" not in page.text, "nothing inline"
        assert service_key() not in page.text
    for name in ("root.js", "app.js", "snabbdom.js", "pico.min.css"):
        packed = await get(served, f"/static/{name}", **{"accept-encoding": "gzip"})
        plain = await get(served, f"/static/{name}", **{"accept-encoding": "identity"})
        assert (packed.status_code, plain.status_code) == (200, 200)
        assert packed.text == plain.text, "packed once"
        assert "content-encoding" not in plain.headers
        assert not plain.content.startswith(gzip.compress(b"")[:2])
    assert (await get(served, "/static/secrets.js")).status_code == 404
    assert (await served.client.get(f"{SAQ}/", headers={"apikey": service_key()})).status_code == 200


async def test_what_it_shows_and_does(served: Served) -> None:
    runtime = served.runtime
    ask = {"name": "shop.count", "arguments": {"n": 1, "text": "<b>"}}
    job = (await served.client.post("/platform/v1/jobs", json=ask, headers={"apikey": service_key()})).json()
    await runtime.queues.enqueue_now(module.jobs[5], word="hush", **EVIL)
    async with runtime.database.connection() as connection:
        await dispatch_jobs(connection, runtime.queues, {each.name: each for each in module.jobs})
    queues = (await get(served, "/api/queues")).json()["queues"]
    assert [queue["name"] for queue in queues] == ["monohull.calls", "monohull.default", "monohull.urgent"]
    shown = (await get(served, "/api/queues/monohull.default")).json()["queue"]
    by_name = {each["function"]: each for each in shown["jobs"]}
    assert by_name["shop.count"]["kwargs"] == '{"n":1,"text":"<b>"}'
    assert by_name["shop.secretive"]["kwargs"] == "(not shown)"
    for each in shown["jobs"]:
        assert all(isinstance(value, str | float | int) for value in each.values()), "no objects"
    key = by_name["shop.count"]["key"]
    path = f"/api/queues/monohull.default/jobs/{key}"
    assert (await get(served, path)).json()["job"]["key"] == key
    assert (await get(served, "/api/queues/nowhere")).status_code == 404
    assert (await get(served, "/api/queues/monohull.default/jobs/nothing")).status_code == 404
    await act(served, path, by_name["shop.secretive"]["key"], job["id"])


async def act(served: Served, path: str, unpromised: str, job_id: str) -> None:
    async def post(where: str, **headers: str) -> tuple[int, Any]:
        answer = await served.client.post(SAQ + where, json={}, headers=basic(service_key()) | headers)
        return answer.status_code, answer.json().get("code")

    same: dict[str, str] = {"sec-fetch-site": "same-origin"}
    assert await post(f"{path}/abort") == (403, "foreign_page")
    assert await post(f"{path}/abort", **{"sec-fetch-site": "cross-site"}) == (403, "foreign_page")
    assert await post(f"{path}/retry", **same) == (409, "job_state_conflict")
    assert await post(f"{path}/abort", **same) == (200, None)
    answer = await served.client.get(f"/platform/v1/jobs/{job_id}", headers={"apikey": service_key()})
    assert answer.json()["state"] == "cancelled"
    unpromised_path = f"/api/queues/monohull.default/jobs/{unpromised}"
    assert await post(f"{unpromised_path}/abort", **same) == (409, "job_state_conflict")
    assert await post(f"{unpromised_path}/retry", **same) == (409, "job_state_conflict")
