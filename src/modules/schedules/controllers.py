"""``/platform/v1/schedules`` and ``/platform/v1/schedule-runs``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from litestar import Controller, Request, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from modules.schedules.dtos import CreateSchedule, SchedulePatch, ScheduleRunView, ScheduleView
from modules.schedules.permissions import READ_SCHEDULES, RUN_SCHEDULES, WRITE_SCHEDULES
from modules.schedules.services import ABSENT, Schedules
from monohull.kernel.errors import InvalidRequest, NotFound
from monohull.kernel.guards import requires
from monohull.kernel.pages import page_of, paged

MAX_NAME_CHARACTERS: Final = 100


class SchedulesController(Controller):
    path = "/schedules"
    tags = ("Schedules",)

    @get(guards=[requires(READ_SCHEDULES.name)], operation_id="ListSchedules")
    async def show(
        self, request: Request[Any, Any, Any], schedules: NamedDependency[Schedules]
    ) -> Response[Sequence[ScheduleView]]:
        """List schedules by name, wherever they are declared."""
        page = page_of(request)
        found, total = await schedules.page(page)
        return paged(request, page, found, total)

    @post(guards=[requires(WRITE_SCHEDULES.name)], operation_id="CreateSchedule")
    async def create(
        self, schedules: NamedDependency[Schedules], data: JSONBody[CreateSchedule]
    ) -> ScheduleView:
        """Have a job of the application run by itself at certain times."""
        return await schedules.create(data)

    @get("/{name:str}", guards=[requires(READ_SCHEDULES.name)], operation_id="GetSchedule")
    async def one(self, schedules: NamedDependency[Schedules], name: FromPath[str]) -> ScheduleView:
        """Show a schedule."""
        return await schedules.get(name_of(name))

    @patch("/{name:str}", guards=[requires(WRITE_SCHEDULES.name)], operation_id="UpdateSchedule")
    async def change(
        self, schedules: NamedDependency[Schedules], name: FromPath[str], data: JSONBody[SchedulePatch]
    ) -> ScheduleView:
        """Change a schedule that the API or SQL made."""
        return await schedules.change(name_of(name), data)

    @delete("/{name:str}", guards=[requires(WRITE_SCHEDULES.name)], operation_id="DeleteSchedule")
    async def end(self, schedules: NamedDependency[Schedules], name: FromPath[str]) -> None:
        """Delete a schedule that the API or SQL made; what became of its runs can still be seen."""
        await schedules.delete(name_of(name))

    @post(
        "/{name:str}/pause",
        guards=[requires(WRITE_SCHEDULES.name)],
        operation_id="PauseSchedule",
        status_code=HTTP_200_OK,
    )
    async def pause(self, schedules: NamedDependency[Schedules], name: FromPath[str]) -> ScheduleView:
        """Have a schedule do nothing until it is resumed, wherever it is declared."""
        return await schedules.pause(name_of(name))

    @post(
        "/{name:str}/resume",
        guards=[requires(WRITE_SCHEDULES.name)],
        operation_id="ResumeSchedule",
        status_code=HTTP_200_OK,
    )
    async def resume(self, schedules: NamedDependency[Schedules], name: FromPath[str]) -> ScheduleView:
        """Let a schedule go on. Ticks that came during the pause are not made up for."""
        return await schedules.resume(name_of(name))

    @post(
        "/{name:str}/run",
        guards=[requires(RUN_SCHEDULES.name)],
        operation_id="RunSchedule",
        status_code=HTTP_202_ACCEPTED,
    )
    async def run(self, schedules: NamedDependency[Schedules], name: FromPath[str]) -> ScheduleRunView:
        """Have a schedule run once, now, though it be paused."""
        return await schedules.run(name_of(name))


class ScheduleRunsController(Controller):
    path = "/schedule-runs"
    tags = ("Schedules",)

    @get(guards=[requires(READ_SCHEDULES.name)], operation_id="ListScheduleRuns")
    async def show(
        self,
        request: Request[Any, Any, Any],
        schedules: NamedDependency[Schedules],
        schedule: FromQuery[str | None] = None,
        outcome: FromQuery[str | None] = None,
    ) -> Response[Sequence[ScheduleRunView]]:
        """List what became of ticks, the latest first; of one schedule or outcome (``failed``) alone."""
        for given in (schedule, outcome):
            if given is not None and "\x00" in given:
                raise InvalidRequest("A filter holds a zero byte.", hint="Leave %00 out.")
        page = page_of(request)
        found, total = await schedules.runs(page, schedule=schedule, outcome=outcome)
        return paged(request, page, found, total)


def name_of(text: str) -> str:
    """Read a name in a path.

    Raises:
        NotFound: 404, nothing can be called so.
    """
    if len(text) > MAX_NAME_CHARACTERS or not text.isprintable():
        raise NotFound(ABSENT)
    return text
