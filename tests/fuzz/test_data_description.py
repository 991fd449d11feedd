"""schemathesis, with all of its checks, against the description of the data API over the storefront.

What is expected of them stands in ``data_description.toml``, what no schema can say in
`tests.fuzz.data_hooks`. ``FUZZ_EXAMPLES`` is how many requests each operation gets.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
import pytest

from tests.application import anon_key, service_key
from tests.integration.cli.serving import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.timeout(3600)

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = os.environ.get("FUZZ_EXAMPLES", "2")
ROWS: Final = """
    insert into public.customers (name, email, country) values ('Ada', 'ada@example.com', 'GB');
    insert into public.products (sku, name, category, price) values ('AB-12', 'Engine', 'machines', 9.5);
    insert into public.orders (customer_id) values (1);
"""


@pytest.fixture
async def storefront(connections: Connections) -> Connections:
    database = await asyncpg.connect(connections.owner_url)
    try:
        for file in sorted((ROOT / "examples/storefront/migrations").iterdir()):
            await database.execute(file.read_text())
        await database.execute(ROWS)
    finally:
        await database.close()
    return connections


@pytest.fixture
def url(storefront: Connections, tmp_path: Path) -> Iterator[str]:
    with serve(storefront, tmp_path, log_level="error", rest_rate_limit="0") as url:
        yield url


@pytest.mark.parametrize(
    ("mode", "key"),
    [
        pytest.param("positive", service_key(), id="positive-service"),
        pytest.param("positive", anon_key(), id="positive-anon"),
        pytest.param("negative", service_key(), id="negative-service"),
        pytest.param("negative", anon_key(), id="negative-anon", marks=pytest.mark.slow),
    ],
)
def test_no_check_fails(url: str, tmp_path: Path, mode: str, key: str) -> None:
    """Send what is described, and what is not.

    One after the other: with both at once schemathesis makes up some tags for what is described as it does
    for what is not (its ``mixed_if_match``).
    """
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        f"--config-file={Path(__file__).with_name('data_description.toml')}",
        "run",
        f"{url}/rest/v1/openapi.json",
        f"--header=apikey: {key}",
        "--workers=1",
        f"--mode={mode}",
        f"--max-examples={EXAMPLES}",
        "--seed=8",
        "--no-color",
    ]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.fuzz.data_hooks", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=3000, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}{done.stderr[-2000:]}"
    assert "Schema-valid request rejected" not in done.stdout
