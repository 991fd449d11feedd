"""Set a second factor up, and take it away.

Source: supabase/auth, ``internal/api/mfa.go``.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from modules.auth.errors import UnknownBearer, ValidationFailed
from modules.auth.factors.errors import (
    AnonymousBearer,
    EnrollNeedsAal2,
    FactorNameConflict,
    FactorNotFound,
    MalformedFactorId,
    TooManyFactors,
    UnenrollNeedsAal2,
)
from modules.auth.factors.events import FactorDeleted, FactorEnrolled
from modules.auth.factors.strengthening import RECOVERY_METHOD
from modules.auth.models import Factor
from modules.auth.repositories import FactorRepository, RecoveryCodeRepository, UserRepository
from modules.auth.rules import check_storable
from modules.auth.services.account import bearer_of
from modules.auth.settings import seconds
from monohull.kernel import outbox
from monohull.kernel.database.repository import violated_constraint
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.factors.dtos import EnrollBody, EnrolledView
    from modules.auth.factors.kinds import Kind
    from modules.auth.models import User
    from modules.auth.services.sending import Sender
    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal

MAX_NAME_CHARACTERS: Final = 120
NAME_INDEX: Final = "mfa_factors_user_friendly_name_unique"


class Enrolment:
    """Sets factors of the caller up, and takes them away.

    Args:
        database: Where they are.
        kinds: By ``factor_type``.
        sender: Tells people by mail.
    """

    def __init__(self, database: Database, kinds: Mapping[str, Kind], sender: Sender) -> None:
        self._database = database
        self._kinds = kinds
        self._sender = sender
        self._settings = sender.settings

    async def enroll(self, principal: Principal, body: EnrollBody) -> EnrolledView:
        """Begin to set a factor up.

        Raises:
            ValidationFailed: 400. AnonymousBearer, EnrollNeedsAal2: 403.
            TooManyFactors, FactorNameConflict: 422, and what the kind refuses.
        """
        if (kind := self._kinds.get(body.factor_type or "")) is None:
            raise ValidationFailed("factor_type needs to be totp, phone, or webauthn")
        kind.check_enrolls()
        name = normal_name(body.friendly_name)
        with name_conflicts():
            async with self._database.unit_of_work() as work:
                bearer = await bearer_of(work, principal)
                user = bearer.user
                if user.is_anonymous:
                    raise AnonymousBearer
                if await UserRepository(work).lock(user.id) is None:
                    raise UnknownBearer
                await self._admit(work, user, name, is_strong=bearer.aal == "aal2")
                factor = Factor(
                    id=uuid7(),
                    user_id=user.id,
                    friendly_name=name,
                    factor_type=kind.type,
                    status="unverified",
                )
                told = await kind.begin(work, user, factor, body)
                await FactorRepository(work).add(factor)
                event = FactorEnrolled(
                    user_id=str(user.id), factor_id=str(factor.id), factor_type=factor.factor_type
                )
                await outbox.publish(work, event, key=str(user.id))
        return await asyncio.to_thread(kind.describe, user, factor, body, told)

    async def _admit(self, work: AsyncSession, user: User, name: str, *, is_strong: bool) -> None:
        """Refuse a factor too many; the user is locked, so two at once are counted."""
        factors = FactorRepository(work)
        stale = seconds(self._settings.mfa_factor_expiry_duration) or 0
        await factors.delete_stale(user.id, older_than_seconds=stale)
        known = await factors.list_of(user.id)
        verified = sum(factor.status == "verified" for factor in known)
        if verified and not is_strong:
            raise EnrollNeedsAal2
        if (
            len(known) >= self._settings.mfa_max_enrolled_factors
            or verified >= self._settings.mfa_max_verified_factors
        ):
            raise TooManyFactors
        if name and any(factor.friendly_name == name for factor in known):
            raise FactorNameConflict

    async def unenroll(self, principal: Principal, factor_id: str) -> UUID:
        """Take a factor of the caller away; sessions that it strengthened are ``aal1`` again.

        Raises:
            MalformedFactorId, FactorNotFound: 404. UnenrollNeedsAal2: 422.
        """
        parsed = factor_id_of(factor_id)
        async with self._database.unit_of_work() as work:
            bearer = await bearer_of(work, principal)
            if (user := await UserRepository(work).lock(bearer.user.id)) is None:
                raise UnknownBearer
            if (factor := await FactorRepository(work).find_of(user.id, parsed)) is None:
                raise FactorNotFound
            if factor.status == "verified" and bearer.aal != "aal2":
                raise UnenrollNeedsAal2
            await remove(self._sender, self._kinds, work, user, factor)
        return parsed


async def remove(
    sender: Sender, kinds: Mapping[str, Kind], work: AsyncSession, user: User, factor: Factor
) -> None:
    """Delete a factor of ``user``, who is locked, with all that rested on it."""
    factors = FactorRepository(work)
    was_verified = factor.status == "verified"
    methods = [kinds[factor.factor_type].method, RECOVERY_METHOD]
    await factors.weaken_sessions(user.id, methods, factor_id=factor.id)
    await work.delete(factor)
    await work.flush()
    if was_verified:
        if not await factors.has_verified(user.id):
            await RecoveryCodeRepository(work).replace(user.id, [])
            await factors.weaken_sessions(user.id, methods)
        title = kinds[factor.factor_type].title
        await sender.notify(work, user, "mfa_factor_unenrolled_notification", factor_type=title)
    event = FactorDeleted(
        user_id=str(user.id),
        factor_id=str(factor.id),
        factor_type=factor.factor_type,
        was_verified=was_verified,
    )
    await outbox.publish(work, event, key=str(user.id))


@contextmanager
def name_conflicts() -> Iterator[None]:
    """Turn what the index of names says into an answer.

    Raises:
        FactorNameConflict: 422.
    """
    try:
        yield
    except IntegrityError as error:
        if violated_constraint(error) == NAME_INDEX:
            raise FactorNameConflict from error
        raise


def normal_name(text: str | None) -> str:
    """Return a name as it is stored.

    Raises:
        ValidationFailed: 400, it is too long or cannot be stored.
    """
    name = (text or "").strip()
    check_storable(name)
    if len(name) > MAX_NAME_CHARACTERS:
        raise ValidationFailed(f"friendly_name must have {MAX_NAME_CHARACTERS} characters at most")
    return name


def factor_id_of(text: str) -> UUID:
    """Read the id in a path.

    Raises:
        MalformedFactorId: 404.
    """
    try:
        return UUID(text)
    except ValueError:
        raise MalformedFactorId from None
