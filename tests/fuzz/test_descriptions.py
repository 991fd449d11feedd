"""Whatever fits the description of the platform or of the data API, and what does not: no answer is a 500.

The description of ``/auth/v1`` has a file of its own. ``FUZZ_EXAMPLES`` is how
many requests each operation gets from each caller.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
import pytest
import schemathesis
from litestar import Litestar, get
from litestar.params import FromQuery  # noqa: TC002 Litestar reads it

from tests.fuzz.described import SERVICE, attack_all, signed_in
from tests.integration.cli.serving import serve
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monohull.kernel.home import Connections

TENANTS = (Path(__file__).parent / "tenants.sql").read_text(encoding="utf-8")
LEFT_OUT = r"^/(auth/v1|docs|health|rest/v1)"


@pytest.fixture
async def filled(connections: Connections) -> Connections:
    """Tables of every kind."""
    database = await asyncpg.connect(connections.owner_url)
    try:
        await database.execute(TENANTS)
    finally:
        await database.close()
    return connections


@pytest.fixture
def url(filled: Connections, tmp_path: Path) -> Iterator[str]:
    """A server with tables."""
    with serve(filled, tmp_path) as url:
        yield url


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_platform_answers_no_500(url: str) -> None:
    described = schemathesis.openapi.from_url(f"{url}/openapi.json", timeout=PATIENCE_SECONDS)
    schema = described.exclude(path_regex=LEFT_OUT)
    seen, faults = attack_all(schema, (SERVICE, signed_in(url)))
    assert not faults, "\n".join(faults[:20])
    described = httpx.get(f"{url}/openapi.json", timeout=PATIENCE_SECONDS).json()["paths"]
    families = {path.split("/")[3] for path in described if path.startswith("/platform/v1/")}
    assert families <= {label.partition(" ")[2].split("/")[3] for label in seen if "/platform/v1/" in label}
    assert len(seen) > 100


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_data_api_answers_no_500(url: str) -> None:
    description = httpx.get(f"{url}/rest/v1/", headers=SERVICE, timeout=PATIENCE_SECONDS).json()
    description |= {"host": url.partition("://")[2], "schemes": ["http"]}
    schema = schemathesis.openapi.from_dict(description)
    schema.config.update(base_url=f"{url}/rest/v1")
    seen, faults = attack_all(schema, (SERVICE, signed_in(url)))
    assert not faults, "\n".join(faults[:20])
    assert {"GET /tasks", "POST /comments", "PATCH /projects", "DELETE /tasks"} <= seen


def test_a_planted_500_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    @get("/things", sync_to_thread=False)
    def things(limit: FromQuery[int]) -> dict[str, Any]:
        return {"pages": 100 // limit}  # nothing, when it is 0

    @get("/others", sync_to_thread=False)
    def others(limit: FromQuery[int]) -> dict[str, Any]:
        return {"limit": limit}

    app = Litestar([things, others])
    monkeypatch.setattr("tests.fuzz.described.EXAMPLES", 60)
    schema = schemathesis.openapi.from_asgi("/schema/openapi.json", app)
    seen, faults = attack_all(schema, ({},))
    assert seen == {"GET /others", "GET /things"}
    assert faults
    assert all("/things" in fault for fault in faults)
