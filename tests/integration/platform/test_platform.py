"""Health, metrics, the description and who may see the state, against real services."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from openapi_spec_validator import validate

from monohull import __version__
from tests.application import Served, anon_key, running_app, service_key
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from monohull.kernel.home import Connections


async def test_live(served: Served) -> None:
    response = await served.client.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_ready_names_every_check(served: Served) -> None:
    response = await eventually(
        lambda: served.client.get("/health/ready"), lambda found: found.status_code == 200
    )
    body = response.json()
    assert body["status"] == "ok"
    assert {"database", "migrations", "redis"} <= set(body["checks"])
    assert all(check["ok"] and check["duration_ms"] >= 0 for check in body["checks"].values())
    assert response.headers["cache-control"] == "no-store"


async def test_startup(served: Served) -> None:
    assert (await served.client.get("/health/startup")).status_code == 200


async def scraped(served: Served, *patterns: str) -> str:
    """Scrape until each has its line: what a server does not say in time is left out."""

    async def look() -> str:
        return (await served.client.get("/metrics")).text

    return await eventually(
        look, lambda text: all(re.search(f"^{one}$", text, re.MULTILINE) for one in patterns)
    )


async def test_not_ready_says_which(connections: Connections) -> None:
    from msgspec.structs import replace  # noqa: PLC0415

    from monohull.kernel.settings import Secret  # noqa: PLC0415

    broken = replace(connections, redis_url=Secret("redis://127.0.0.1:1/0"))
    async with running_app(broken) as served:
        response = await eventually(
            lambda: served.client.get("/health/ready"), lambda found: found.json()["checks"]["database"]["ok"]
        )
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0
        checks = response.json()["checks"]
        assert checks["redis"]["ok"] is False
        assert checks["redis"]["message"]
        numbers = await scraped(
            served,
            r'monohull_health_check_ok\{check="redis"\} 0.0',
            r'monohull_health_check_ok\{check="database"\} 1.0',
        )
        assert "\nmonohull_redis_" not in numbers
        assert (await served.client.get("/health/live")).status_code == 200


async def test_metrics(served: Served) -> None:
    await served.client.get("/health/live")
    await served.client.get("/nowhere")
    response = await served.client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = response.text
    assert 'monohull_http_requests_total{method="GET",route="/health/live",status="200"} 1.0' in text
    assert 'monohull_http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    names = (
        "monohull_http_request_duration_seconds_bucket",
        "monohull_database_pool_in_use",
        "monohull_database_pool_waiting",
        "monohull_queue_depth",
        "monohull_outbox_lag_seconds",
        "monohull_workers",
        "monohull_redis_ping_seconds",
        "monohull_redis_commands_total",
        "monohull_redis_memory_bytes",
        "monohull_database_server_connections",
        "monohull_database_commits_total",
        "monohull_event_loop_lag_seconds",
        "monohull_webhooks_waiting",
        "monohull_audit_lag_seconds",
        "monohull_process_resident_memory_bytes",
    )
    await scraped(served, *(rf"{name}(\{{.*\}})? [0-9.e+]+" for name in names))


async def test_metrics_leave_the_public_port(connections: Connections, unused_tcp_port: int) -> None:
    async with running_app(connections, metrics_port=str(unused_tcp_port)) as served:
        assert (await served.client.get("/metrics")).status_code == 404
        import httpx  # noqa: PLC0415

        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{unused_tcp_port}", timeout=PATIENCE_SECONDS
        ) as client:
            response = await client.get("/metrics")
            assert "monohull_build_info" in response.text
            assert (await client.get("/elsewhere")).status_code == 404
            assert (await client.post("/metrics")).status_code == 405


async def test_openapi_is_valid_and_describes_the_platform(served: Served) -> None:
    document = (await served.client.get("/openapi.json")).json()
    validate(document)
    assert document["openapi"].startswith("3.1")
    assert "/platform/v1/status" in document["paths"]
    assert "/metrics" not in document["paths"]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "Bearer"


async def test_docs_ask_nobody_else(served: Served) -> None:
    page = await served.client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert assets
    for asset in assets:
        assert asset.startswith("/"), asset
        assert (await served.client.get(asset)).status_code == 200, asset


@pytest.mark.parametrize("name", ["../controllers.py", "%2e%2e%2fcontrollers.py", "nothing.js"])
async def test_docs_give_away_no_other_file(served: Served, name: str) -> None:
    assert (await served.client.get(f"/docs/assets/{name}")).status_code == 404


async def test_status_is_for_those_who_may(served: Served) -> None:
    assert (await served.client.get("/platform/v1/status")).status_code == 401
    as_anon = await served.client.get("/platform/v1/status", headers={"apikey": anon_key()})
    assert as_anon.status_code == 403
    as_service = await served.client.get("/platform/v1/status", headers={"apikey": service_key()})
    assert as_service.status_code == 200, as_service.text
    body = as_service.json()
    assert body["version"] == __version__
    assert next(module["name"] for module in body["modules"]) in ("query", "rbac")


async def test_permissions_are_listed(served: Served) -> None:
    response = await served.client.get("/platform/v1/permissions", headers={"apikey": service_key()})
    assert "platform.status:read" in [permission["name"] for permission in response.json()]


async def test_whoami(served: Served) -> None:
    nobody = (await served.client.get("/platform/v1/whoami")).json()
    assert nobody == {"kind": "anonymous", "role": "anon", "subject": None, "roles": [], "permissions": []}
    service = (await served.client.get("/platform/v1/whoami", headers={"apikey": service_key()})).json()
    assert (service["kind"], service["role"], service["permissions"]) == ("service", "service_role", ["*"])
