"""``[[seed.users]]`` of ``monohull.toml``: people to try a project with.

    [[seed.users]]
    id = "…"                      # optional; a fixed id lets SQL refer to it
    email = "ada@example.com"
    password = "…"
    app_metadata = { role = "staff" }
    user_metadata = { name = "Ada" }

A user whose address exists is left as it is, so that seeding twice changes
nothing. Passwords written into a file are for development alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID  # noqa: TC003 msgspec reads it

import msgspec

from modules.auth.errors import AuthProblem
from modules.auth.passwords import Passwords
from modules.auth.repositories import UserRepository
from modules.auth.rules import check_storable, normal_email
from modules.auth.services.new_users import create_user, refusals
from monohull.kernel.refusals import WrongSetup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

TABLE: Final = "users"


class SeedUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry."""

    email: str
    password: str
    id: UUID | None = None
    app_metadata: dict[str, Any] = {}
    user_metadata: dict[str, Any] = {}


async def seed_users(session: AsyncSession, table: Mapping[str, Any]) -> int:
    """Create the users of ``table["users"]`` that do not exist yet; return how many there were.

    Args:
        session: Of the caller's unit of work.
        table: The table ``[seed]`` of ``monohull.toml``.

    Raises:
        WrongSetup: An entry does not fit, or the database refuses it.
    """
    entries = _entries(table)
    passwords = Passwords()
    created = 0
    for number, entry in enumerate(entries, start=1):
        try:
            check_storable([entry.app_metadata, entry.user_metadata])
            email = normal_email(entry.email)
            if await UserRepository(session).find_by_email(email) is not None:
                continue
            with refusals():
                await create_user(
                    session,
                    admission=None,
                    email=email,
                    encrypted_password=await passwords.hash(entry.password),
                    data=entry.user_metadata,
                    app_metadata=entry.app_metadata,
                    id=entry.id,
                )
        except AuthProblem as problem:
            raise WrongSetup(
                f"[[seed.users]] number {number} ({entry.email}): {problem.message}"
            ) from problem
        created += 1
    return created


def _entries(table: Mapping[str, Any]) -> list[SeedUser]:
    try:
        return msgspec.convert(table.get(TABLE, []), list[SeedUser])
    except msgspec.ValidationError as error:
        raise WrongSetup(f"[[seed.users]] in monohull.toml: {error}") from error
