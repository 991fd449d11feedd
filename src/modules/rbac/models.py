"""The tables of rbac: roles with their columns, groups, teams, permissions, and who has what."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, Text, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, OID
from sqlalchemy.orm import Mapped, mapped_column

from monohull.kernel.clock import now
from monohull.kernel.database.base import Base, Identified, Timestamped

SCHEMA: Final = {"schema": "monohull"}
OWNER_ID: Final = UUID("00000000-0000-7000-8000-000000000001")
"""The role that holds everything; the same in every database."""


class Role(Identified, Timestamped, Base):
    """A bundle of permissions."""

    __tablename__ = "roles"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint("name ~ '^[a-z][a-z0-9_-]{0,62}$'", name="name"),
        SCHEMA,
    )

    name: Mapped[str] = mapped_column(Text)
    summary: Mapped[str] = mapped_column(Text, server_default="")
    permissions: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    is_builtin: Mapped[bool] = mapped_column(Boolean, server_default=text("false"), default=False)


class RolePermission(Base):
    """A permission that a role bundles, to search by; triggers repeat here what `Role.permissions` says."""

    __tablename__ = "role_permissions"
    __table_args__ = (Index("ix_role_permissions_role_id", "role_id"), SCHEMA)

    permission: Mapped[str] = mapped_column(Text, primary_key=True)
    role_id: Mapped[UUID] = mapped_column(
        ForeignKey("monohull.roles.id", ondelete="CASCADE"), primary_key=True
    )


class RoleColumns(Timestamped, Base):
    """The columns that a role leaves of a relation; None where it says nothing, ``*`` for all of them.

    What the names mean is remembered by number, which a trigger keeps, so that rules follow renames.
    """

    __tablename__ = "role_columns"
    __table_args__ = (CheckConstraint("num_nonnulls(reads, writes) > 0", name="says"), SCHEMA)

    role_id: Mapped[UUID] = mapped_column(
        ForeignKey("monohull.roles.id", ondelete="CASCADE"), primary_key=True
    )
    schema_name: Mapped[str] = mapped_column(Text, primary_key=True)
    relation_name: Mapped[str] = mapped_column(Text, primary_key=True)
    reads: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    writes: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    relation_id: Mapped[int | None] = mapped_column(OID)
    column_numbers: Mapped[dict[str, int] | None] = mapped_column(JSONB)


class DeclaredPermission(Base):
    """A permission that the application asks for in its policies and functions."""

    __tablename__ = "permissions"
    __table_args__ = (
        CheckConstraint("name ~ '^[a-z][a-z0-9_]*([.:][a-z][a-z0-9_]*)+$'", name="name"),
        SCHEMA,
    )

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    summary: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), default=now)


class Group(Identified, Timestamped, Base):
    """Users who hold roles together."""

    __tablename__ = "groups"
    __table_args__ = (UniqueConstraint("name"), CheckConstraint("name <> ''", name="name"), SCHEMA)

    name: Mapped[str] = mapped_column(Text)
    summary: Mapped[str] = mapped_column(Text, server_default="")


class GroupMember(Base):
    """A user in a group."""

    __tablename__ = "group_members"
    __table_args__ = (Index("ix_group_members_user_id", "user_id"), SCHEMA)

    group_id: Mapped[UUID] = mapped_column(
        ForeignKey("monohull.groups.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[UUID] = mapped_column(ForeignKey("auth.users.id", ondelete="CASCADE"), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), default=now)


class Team(Identified, Timestamped, Base):
    """An organisation of the application, in which roles may be held."""

    __tablename__ = "teams"
    __table_args__ = (
        UniqueConstraint("slug"),
        CheckConstraint("name <> ''", name="name"),
        CheckConstraint("slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'", name="slug"),
        SCHEMA,
    )

    name: Mapped[str] = mapped_column(Text)
    slug: Mapped[str] = mapped_column(Text)


def _unique(holder: str) -> tuple[Index, Index]:
    """Return the two indexes by which a holder has a role once for the instance and once in each team."""
    instance: Any = text("team_id is null")
    return (
        Index(
            f"ux_role_assignments_{holder}",
            f"{holder}_id",
            "role_id",
            unique=True,
            postgresql_where=instance,
        ),
        Index(f"ux_role_assignments_{holder}_team", f"{holder}_id", "team_id", "role_id", unique=True),
    )


class RoleAssignment(Identified, Base):
    """That somebody holds a role: one of user, key and group; in ``team_id``, or for the whole instance."""

    __tablename__ = "role_assignments"
    __table_args__ = (
        CheckConstraint("num_nonnulls(user_id, key_id, group_id) = 1", name="holder"),
        *_unique("user"),
        *_unique("key"),
        *_unique("group"),
        Index("ix_role_assignments_role_id", "role_id", "created_at", "id"),
        Index("ix_role_assignments_team_id", "team_id"),
        Index("ix_role_assignments_created_at", "created_at", "id"),
        SCHEMA,
    )

    role_id: Mapped[UUID] = mapped_column(ForeignKey("monohull.roles.id", ondelete="CASCADE"))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("auth.users.id", ondelete="CASCADE"))
    key_id: Mapped[UUID | None] = mapped_column(ForeignKey("monohull.api_keys.id", ondelete="CASCADE"))
    group_id: Mapped[UUID | None] = mapped_column(ForeignKey("monohull.groups.id", ondelete="CASCADE"))
    team_id: Mapped[UUID | None] = mapped_column(ForeignKey("monohull.teams.id", ondelete="CASCADE"))
    created_by: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), default=now)
