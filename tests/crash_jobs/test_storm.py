"""Everything is killed at random while events flow to webhooks and sinks, and nothing is lost or made up."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.crash_jobs.storm import Storm

if TYPE_CHECKING:
    from pathlib import Path

    from monohull.kernel.embedded import EmbeddedRedis
    from monohull.kernel.home import Connections
    from tests.crash_jobs.conftest import Fleet

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(1200)]


async def test_each_committed_event_arrives_whatever_is_killed(
    connections: Connections, fleet: Fleet, redis: EmbeddedRedis, tmp_path: Path
) -> None:
    report = await Storm(fleet, connections, redis, tmp_path, events=1500).run()
    sys.stdout.write(f"{report}\n")
    assert report.dead > 10
    assert report.taken >= report.distinct > 2000
    assert report.carried >= report.carried_distinct > 2000
