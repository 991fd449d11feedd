"""What the product takes at rest, as a person starts it."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.load.idle_memory import LIMIT_MIB, measured
from tests.up import PYTHON, Run, open_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what processes share"),
]

SETTLING_SECONDS = 3.0
"""Pools open, caches fill and the worker leads; nothing tells when that is over."""


@pytest.fixture
def product() -> Iterator[Run]:
    folder = open_folder()
    environ = {"MONOHULL_LOG_LEVEL": "error", "MONOHULL_PORT": "0", "MONOHULL_DRAIN_SECONDS": "2"}
    try:
        with Run(folder, [PYTHON, "-P", "-m", "monohull", "up"], environ) as run:
            yield run.ready()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_api_and_worker_share_what_they_load(product: Run) -> None:
    time.sleep(SETTLING_SECONDS)
    found = [(role, process.cmdline()[0], round(mib)) for role, process, mib in measured(product.state())]
    assert sum(mib for _, _, mib in found) <= LIMIT_MIB, found
    assert sum(mib for role, _, mib in found if role == "worker") <= LIMIT_MIB / 3, "it loaded its own"
