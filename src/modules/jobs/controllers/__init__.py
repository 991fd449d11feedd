"""The routes of jobs."""

from __future__ import annotations

from typing import Final

from modules.jobs.controllers.saq_page import SaqController
from modules.jobs.controllers.steering import (
    BatchesController,
    JobsController,
    QueuesController,
    TypesController,
)

CONTROLLERS: Final = (JobsController, BatchesController, TypesController, QueuesController, SaqController)

__all__ = ["CONTROLLERS"]
