"""What every platform table has in common.

Constraints get names by rule, so that a migration can name what it drops and
an error can be traced to its column. Every module keeps its tables in a schema
of its own and says so in ``__table_args__``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Final
from uuid import UUID

from advanced_alchemy.base import CommonTableAttributes
from sqlalchemy import DateTime, MetaData, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, declarative_mixin, mapped_column

from monohull.kernel.clock import now
from monohull.kernel.ids import uuid7

NAMING: Final = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}
"""Schemas are no part of a name: constraint and index names are local to their schema."""


class Base(CommonTableAttributes, AsyncAttrs, DeclarativeBase):
    """Base of every platform table; one `MetaData` for all."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        UUID: Uuid(as_uuid=True),
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
    }


@declarative_mixin
class Identified:
    """A UUIDv7 as primary key, made by the application so that it is known before the insert."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-100)


@declarative_mixin
class Timestamped:
    """When the row was made and when it was last changed, in UTC."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), default=now, sort_order=100)
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), default=now, onupdate=now, sort_order=101
    )
