"""``/platform/v1/audit``."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Stream

from modules.audit.dtos import EntryPage
from modules.audit.exporting import MEDIA_TYPES, export
from modules.audit.paths import Wanted
from modules.audit.searching import Search, cursor_of, parse_place
from modules.audit.services import AuditLog
from monohull.kernel.errors import InvalidRequest
from monohull.kernel.guards import requires

MAX_LIMIT: Final = 200


class AuditController(Controller):
    path = "/audit"
    tags = ("Audit",)
    guards = (requires("audit.entries:read"),)

    @get(operation_id="SearchAuditEntries")
    async def show(  # noqa: PLR0913, PLR0917 each is a parameter of the query
        self,
        audit_search: NamedDependency[Search],
        actor: FromQuery[str | None] = None,
        action: FromQuery[str | None] = None,
        object: FromQuery[str | None] = None,  # noqa: A002 the wire's name
        request_id: FromQuery[str | None] = None,
        since: FromQuery[datetime | None] = None,
        until: FromQuery[datetime | None] = None,
        limit: FromQuery[int] = 50,
        cursor: FromQuery[str | None] = None,
    ) -> EntryPage:
        """List entries, the newest first; ``next`` of a page is the ``cursor`` of the following one.

        ``action`` takes a name or ``auth.*``; ``object`` a kind, or ``kind:id``. A page of large entries has
        fewer of them than ``limit``.
        """
        wanted = Wanted(
            actor=actor, action=action, object=object, request_id=request_id, since=since, until=until
        )
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidRequest(f"limit must be a whole number from 1 to {MAX_LIMIT}.", details=str(limit))
        behind = None if cursor is None else parse_place(cursor)
        found = await audit_search.page(wanted, limit=limit, behind=behind)
        following = None if found.behind is None else cursor_of(found.behind)
        return EntryPage(entries=tuple(found.entries), next=following)

    @get("/export", operation_id="ExportAuditEntries")
    async def export(  # noqa: PLR0913, PLR0917 as above
        self,
        audit_search: NamedDependency[Search],
        audit_log: NamedDependency[AuditLog],
        actor: FromQuery[str | None] = None,
        action: FromQuery[str | None] = None,
        object: FromQuery[str | None] = None,  # noqa: A002 the wire's name
        request_id: FromQuery[str | None] = None,
        since: FromQuery[datetime | None] = None,
        until: FromQuery[datetime | None] = None,
        format: FromQuery[Literal["jsonl", "csv"]] = "jsonl",  # noqa: A002 the wire's name
    ) -> Stream:
        """Stream entries, the oldest first, as JSON lines or CSV. That is an entry itself."""
        wanted = Wanted(
            actor=actor, action=action, object=object, request_id=request_id, since=since, until=until
        )
        await audit_search.page(wanted, limit=1)  # what is wrong with it is answered before it begins
        await audit_log.note_export(wanted, format)
        name = f"audit.{format}"
        return Stream(
            export(audit_search, wanted, format),
            media_type=MEDIA_TYPES[format],
            headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
        )
