"""The plug of audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.audit import metrics
from modules.audit.events import AuditLogExported
from modules.audit.hardening import weaknesses
from modules.audit.jobs import CRONS, keep
from modules.audit.looks import audit_metrics, lag_seconds, look
from modules.audit.searching import Search
from modules.audit.services import AuditLog
from modules.audit.settings import AuditSettings
from modules.audit.writer import Writer
from monohull.kernel.module import Module, Parts
from monohull.kernel.permissions import Permission
from monohull.kernel.routing import ModuleRouter

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import click

    from monohull.kernel.runtime import Runtime


def parts(runtime: Runtime) -> Parts:
    """Build what audit contributes to one process."""
    from modules.audit.controllers import AuditController  # noqa: PLC0415 the API alone serves them

    search, log = Search(runtime.database), AuditLog(runtime.database, runtime.settings)
    return Parts(
        routers=(ModuleRouter("/platform/v1", route_handlers=[AuditController]),),
        dependencies={"audit_search": lambda: search, "audit_log": lambda: log},
    )


def sampled(runtime: Runtime) -> None:
    """Say how the gauge of the log is read."""
    runtime.metrics.on_scrape(metrics.LAG_SECONDS, lambda: lag_seconds(runtime.database))


def in_worker(runtime: Runtime) -> AbstractAsyncContextManager[None]:
    """Write the log in this worker, when no other one does."""
    runtime.observer.add_reader(audit_metrics(runtime.metrics))
    return Writer(runtime.database, runtime.observer).running()


def cli() -> click.Group:
    """Return ``monohull audit``."""
    from modules.audit.cli import audit  # noqa: PLC0415 start-up time

    return audit


module = Module(
    name="audit",
    settings=AuditSettings,
    weaknesses=weaknesses,
    permissions=(Permission("audit.entries:read", "Read and export the audit log."),),
    events=(AuditLogExported,),
    jobs=(keep,),
    cron=CRONS,
    cli={"audit": cli},
    parts=parts,
    in_worker=(in_worker,),
    looks={"audit": look},
    metrics=metrics.METRICS,
    sampled=sampled,
)
