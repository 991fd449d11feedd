"""``monohull.signing_keys``."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import CheckConstraint, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from monohull.kernel.database.base import Base, Identified, Timestamped

KeyState: TypeAlias = Literal["standby", "current", "previous", "retired"]

STATES: Final[tuple[KeyState, ...]] = ("current", "standby", "previous", "retired")
"""In the order in which lists show them."""


class SigningKeyRow(Identified, Timestamped, Base):
    """One key. ``private_key`` is an envelope of `kernel.crypto`, and gone once the key is retired."""

    __tablename__ = "signing_keys"
    __table_args__ = (
        CheckConstraint("state in ('standby', 'current', 'previous', 'retired')", name="state"),
        CheckConstraint("algorithm in ('ES256', 'RS256', 'EdDSA')", name="algorithm"),
        Index(
            "signing_keys_one_each",
            "state",
            unique=True,
            postgresql_where=text("state in ('standby', 'current')"),
        ),
        {"schema": "monohull"},
    )

    kid: Mapped[str] = mapped_column(Text, unique=True)
    algorithm: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    public_key: Mapped[dict[str, Any]]
    private_key: Mapped[str | None] = mapped_column(Text)
    current_at: Mapped[datetime | None]
    previous_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]
