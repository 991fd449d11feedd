"""What audit tells the rest of the product."""

from __future__ import annotations

from typing import ClassVar

from monohull.kernel.events import Event


class AuditLogExported(Event, frozen=True):
    """Somebody took entries of the audit log away; the filters say which."""

    name: ClassVar[str] = "audit.log_exported"

    format: str
    actor: str | None = None
    action: str | None = None
    object: str | None = None
    request_id: str | None = None
    since: str | None = None
    until: str | None = None
