"""Second factors by who keeps the users. Source: supabase/auth, ``internal/api/admin.go``."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from modules.auth.factors.enrolment import factor_id_of, name_conflicts, normal_name, remove
from modules.auth.factors.errors import FactorNotFound
from modules.auth.factors.events import FactorUpdated
from modules.auth.flow_errors import MalformedUserId, UserNotFound
from modules.auth.repositories import FactorRepository, UserRepository
from modules.auth.rules import normal_phone
from modules.auth.views import view_factor
from monohull.kernel import outbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import FactorView
    from modules.auth.factors.dtos import FactorPatch
    from modules.auth.factors.kinds import Kind
    from modules.auth.models import Factor, User
    from modules.auth.services.sending import Sender
    from monohull.kernel.database.engine import Database


class FactorAdministration:
    """Acts on anybody's factors.

    Args:
        database: Where they are.
        kinds: By ``factor_type``.
        sender: Tells people by mail.
    """

    def __init__(self, database: Database, kinds: Mapping[str, Kind], sender: Sender) -> None:
        self._database = database
        self._kinds = kinds
        self._sender = sender

    async def show_all(self, user_id: str) -> Sequence[FactorView]:
        """Return a user's factors, oldest first.

        Raises:
            MalformedUserId, UserNotFound: 404, as all of these.
        """
        async with self._database.unit_of_work() as work:
            user = await lock_user(work, user_id)
            return [view_factor(factor) for factor in await FactorRepository(work).list_of(user.id)]

    async def update(self, user_id: str, factor_id: str, body: FactorPatch) -> FactorView:
        """Change the name of a factor, or the number of one that is a phone.

        Raises:
            MalformedFactorId, FactorNotFound: 404. ValidationFailed: 400. FactorNameConflict: 422.
        """
        parsed = factor_id_of(factor_id)
        changed = []
        with name_conflicts():
            async with self._database.unit_of_work() as work:
                user, factor = await _find(work, user_id, parsed)
                if body.friendly_name is not None:
                    factor.friendly_name = normal_name(body.friendly_name)
                    changed.append("friendly_name")
                if body.phone is not None and factor.factor_type == "phone":
                    factor.phone = normal_phone(body.phone)
                    changed.append("phone")
                event = FactorUpdated(user_id=str(user.id), factor_id=str(factor.id), changed=tuple(changed))
                await outbox.publish(work, event, key=str(user.id))
                await work.flush()
        return view_factor(factor)

    async def delete(self, user_id: str, factor_id: str) -> FactorView:
        """Take a factor away from somebody.

        Raises:
            MalformedFactorId, FactorNotFound: 404.
        """
        parsed = factor_id_of(factor_id)
        async with self._database.unit_of_work() as work:
            user, factor = await _find(work, user_id, parsed)
            shown = view_factor(factor)
            await remove(self._sender, self._kinds, work, user, factor)
        return shown


async def lock_user(work: AsyncSession, user_id: str) -> User:
    """Find a user by an id in a path, and hold the row.

    Raises:
        MalformedUserId, UserNotFound: 404.
    """
    try:
        parsed = UUID(user_id)
    except ValueError:
        raise MalformedUserId from None
    if (user := await UserRepository(work).lock(parsed)) is None:
        raise UserNotFound
    return user


async def _find(work: AsyncSession, user_id: str, factor_id: UUID) -> tuple[User, Factor]:
    user = await lock_user(work, user_id)
    if (factor := await FactorRepository(work).find_of(user.id, factor_id)) is None:
        raise FactorNotFound
    return user, factor
