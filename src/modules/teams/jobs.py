"""Forget invitations that are long over."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from modules.teams.repositories import InvitationRepository
from monohull.kernel import clock
from monohull.kernel.queues import Cron, job
from monohull.kernel.runtime import Runtime

KEPT: Final = timedelta(days=30)
"""After their end: so long they can be seen and sent again."""


@job("teams.purge_invitations")
async def purge_invitations(runtime: Runtime) -> None:
    """Delete invitations that nobody could accept for a month."""
    async with runtime.database.unit_of_work() as work:
        await InvitationRepository(work).purge(clock.now() - KEPT)


CRONS: Final = (Cron(job=purge_invitations, schedule="29 3 * * *"),)
