"""``@supabase/supabase-js`` at the queues of ``monohull serve``."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import asyncpg

from tests.application import anon_key, service_key
from tests.clients.test_javascript import FOLDER, NODE, pytestmark
from tests.integration.cli.serving import serve

if TYPE_CHECKING:
    from pathlib import Path

    from monohull.kernel.home import Connections

__all__ = ["pytestmark"]


async def test_supabase_js(connections: Connections, tmp_path: Path) -> None:
    assert NODE is not None
    database = await asyncpg.connect(connections.owner_url)
    await database.execute("select pgmq.create('orders')")
    await database.close()
    keys = {"ANON_KEY": anon_key(), "SERVICE_KEY": service_key()}
    with serve(connections, tmp_path, log_level="error", rest_schemas="public,pgmq_public") as url:
        done = subprocess.run(  # noqa: ASYNC221 nothing else runs in this loop
            [NODE, "queues.test.mjs"],
            cwd=FOLDER,
            env={**os.environ, "MONOHULL_URL": url, **keys},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
