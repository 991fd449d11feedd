"""What each kind of process holds in memory: nothing that is another's work, and nothing that nobody uses."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from monohull.kernel.heap import UNUSED

ENVIRON: Final = {
    "MONOHULL_DATABASE_URL": "postgresql://owner@127.0.0.1:1/monohull",
    "MONOHULL_REDIS_URL": "redis://127.0.0.1:1/0",
    "MONOHULL_JWT_SECRET": "architecture-" * 4,
}
FRAMEWORKS: Final = {"litestar", "sqlalchemy", "asyncpg", "redis", "saq", "httpx", "modules"}
MIGRATORS: Final = {"alembic", "mako"}
NOBODYS: Final = {*UNUSED, "psutil", "google", "requests"} | MIGRATORS


def loaded_by(program: str) -> set[str]:
    """Return the names of the modules that a process has after ``program``."""
    program = f"import sys\n{program}\nprint(*(n for n, m in sys.modules.items() if m is not None))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], env=ENVIRON, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_the_supervisor_is_small_until_it_loads_for_its_forks() -> None:
    assert not roots(loaded_by("import monohull.cli.up, monohull.cli.serve")) & (FRAMEWORKS | NOBODYS)


def test_forks_share_what_is_used() -> None:
    loaded = loaded_by(
        "from monohull.cli.product import EVERYTHING, load_product\n"
        "from monohull.kernel.heap import begin_loading\n"
        "begin_loading(); load_product(EVERYTHING)"
    )
    assert roots(loaded) >= FRAMEWORKS
    assert not (loaded | roots(loaded)) & NOBODYS


def test_the_api_does_not_hold_what_it_does_not_serve() -> None:
    loaded = loaded_by(
        "from monohull.kernel.heap import begin_loading\n"
        "begin_loading()\n"
        "from monohull.asgi import create_app\n"
        "create_app()"
    )
    assert not (loaded | roots(loaded)) & NOBODYS


def test_the_worker_serves_nothing() -> None:
    loaded = loaded_by(
        "from monohull.kernel.heap import begin_loading\n"
        "begin_loading()\n"
        "from monohull.worker import settings\n"
        "settings()"
    )
    assert not (loaded | roots(loaded)) & NOBODYS
    assert [name for name in loaded if ".controllers" in name] == []
