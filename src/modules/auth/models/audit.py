"""What happened to users."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from modules.auth.models.columns import SCHEMA, made_at, row_id
from monohull.kernel.database.base import Base


class AuditEntry(Base):
    """One thing that happened, who did it, and from where."""

    __tablename__ = "audit_log_entries"
    __table_args__ = (Index("ix_audit_log_entries_created_at", "created_at", "id"), {"schema": SCHEMA})

    instance_id: Mapped[UUID | None]
    id: Mapped[UUID] = row_id()
    payload: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = made_at()
    ip_address: Mapped[str] = mapped_column(String(64), default="", server_default="")
