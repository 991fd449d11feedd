"""``monohull.team_invitations``; teams and assignments are rbac's."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from monohull.kernel.clock import now
from monohull.kernel.database.base import Base, Identified


class TeamInvitation(Identified, Base):
    """That an address was asked to join a team; the token of its mail is kept as a hash."""

    __tablename__ = "team_invitations"
    __table_args__ = (
        CheckConstraint("email <> '' and email = lower(email)", name="email"),
        UniqueConstraint("token_hash"),
        UniqueConstraint("team_id", "email"),
        Index("ix_team_invitations_email", "email"),
        Index("ix_team_invitations_role_id", "role_id"),
        Index("ix_team_invitations_invited_by", "invited_by"),
        Index("ix_team_invitations_expires_at", "expires_at"),
        {"schema": "monohull"},
    )

    team_id: Mapped[UUID] = mapped_column(ForeignKey("monohull.teams.id", ondelete="CASCADE"))
    email: Mapped[str] = mapped_column(Text)
    role_id: Mapped[UUID] = mapped_column(ForeignKey("monohull.roles.id", ondelete="CASCADE"))
    token_hash: Mapped[str] = mapped_column(Text)
    invited_by: Mapped[UUID | None] = mapped_column(ForeignKey("auth.users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), default=now)
    sent_at: Mapped[datetime] = mapped_column(server_default=func.now(), default=now)
    expires_at: Mapped[datetime]
