"""A log of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.audit.log import Log, make_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from monohull.kernel.home import Connections


@pytest.fixture
async def log(connections: Connections) -> AsyncIterator[Log]:
    """A log whose checkpoints are in the database alone."""
    log = make_log(connections)
    async with log.runtime.running():
        yield log


@pytest.fixture
async def filed(connections: Connections, tmp_path: Path) -> AsyncIterator[Log]:
    """A log whose checkpoints are in a folder as well."""
    log = make_log(connections, audit_checkpoint_folder=str(tmp_path))
    async with log.runtime.running():
        yield log
