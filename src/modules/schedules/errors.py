"""Refusals of schedules."""

from __future__ import annotations

from monohull.kernel.errors import Conflict, InvalidRequest


class BadSchedule(InvalidRequest):
    """The five fields, the time zone or the arguments cannot be used."""

    code = "bad_schedule"
    hint = "Write minute, hour, day of month, month and day of week: */5 * * * *."


class UnknownJob(InvalidRequest):
    """No job of the application is called so."""

    code = "unknown_job"
    hint = "Name a job of a module in MONOHULL_MODULES; jobs of Monohull itself have schedules already."


class ScheduleExists(Conflict):
    """Another schedule has this name."""

    code = "schedule_exists"
    hint = "Choose another name, or change the schedule that has it."


class ScheduleDeclared(Conflict):
    """The schedule is declared in code or in monohull.toml, and can only be paused, resumed and run here."""

    code = "schedule_declared"
    hint = "Change it where it is declared, or pause it."


class ScheduleBusy(Conflict):
    """A run of the schedule has not ended, and it does not let runs overlap."""

    code = "schedule_busy"
    hint = "Wait for the run, or set overlap to queue or allow."
