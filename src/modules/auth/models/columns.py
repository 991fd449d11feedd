"""What columns of several tables have in common."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ForeignKey, func, text
from sqlalchemy.dialects.postgresql import ENUM
from sqlalchemy.orm import Mapped, mapped_column

from monohull.kernel.clock import now
from monohull.kernel.ids import uuid7

SCHEMA: Final = "auth"


def enum(name: str, *values: str) -> ENUM:
    """Return the type ``auth.<name>``, which the migrations make."""
    return ENUM(*values, name=name, schema=SCHEMA, create_type=False)


CHALLENGE_METHOD: Final = enum("code_challenge_method", "s256", "plain")


def row_id() -> Mapped[UUID]:
    """Return a primary key that the application makes, or the database for who inserts by hand."""
    return mapped_column(primary_key=True, default=uuid7, server_default=text("gen_random_uuid()"))


def reference(table: str) -> Mapped[Any]:
    """Return a foreign key to ``auth.<table>``; the row goes with what it refers to."""
    return mapped_column(ForeignKey(f"auth.{table}.id", ondelete="CASCADE"))


def made_at() -> Mapped[datetime]:
    """Return when the row was made."""
    return mapped_column(default=now, server_default=func.now())


def changed_at() -> Mapped[datetime]:
    """Return when the row was changed last."""
    return mapped_column(default=now, onupdate=now, server_default=func.now())
