"""Recovery codes: ten words for who loses the phone; each takes the place of a second factor once.

They are given to who has used a second factor in this session and are never
the only one: they go with the last factor. The wire is what auth-js has for
them (``auth.mfa.recoveryCodes``); beyond it a code is also accepted in the
place of a factor's own, see `verification`, for clients that know nothing of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

from modules.auth.errors import BannedBearer, EndedSession, UnknownBearer
from modules.auth.factors.dtos import RecoveryCodesStatus, RecoveryCodesView
from modules.auth.factors.errors import (
    FactorNotFound,
    FactorVerificationFailed,
    RecoveryCodesExist,
    RecoveryCodesLocked,
    RecoveryCodesSoleFactor,
    RecoveryEnrollNotEnabled,
    RecoveryNeedsAal2,
    RecoveryVerifyNotEnabled,
)
from modules.auth.factors.events import FactorVerified, RecoveryCodesDeleted, RecoveryCodesGenerated
from modules.auth.factors.hook import ask_hook
from modules.auth.factors.sealing import new_recovery_codes
from modules.auth.factors.strengthening import RECOVERY_METHOD, strengthen
from modules.auth.repositories import (
    FactorRepository,
    RecoveryCodeRepository,
    SessionRepository,
    UserRepository,
)
from modules.auth.services.account import bearer_of
from monohull.kernel import outbox
from monohull.kernel.errors import RateLimited

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import SessionView
    from modules.auth.factors.gate import FactorGate
    from modules.auth.factors.sealing import FactorSeal
    from modules.auth.hooks import Hooks
    from modules.auth.models import User
    from modules.auth.origin import Origin
    from modules.auth.services import SessionIssuer
    from modules.auth.settings import AuthSettings
    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal

TYPE: Final = "recovery_code"


class Recovery:
    """Gives recovery codes, and takes them.

    Args:
        database: Where their hashes are.
        settings: Whether there are any.
        seal: Makes the hashes.
        issuer: Gives the stronger session its tokens.
        gate: Counts.
        hooks: May refuse.
    """

    def __init__(  # noqa: PLR0913 everything that a code asks
        self,
        database: Database,
        settings: AuthSettings,
        *,
        seal: FactorSeal,
        issuer: SessionIssuer,
        gate: FactorGate,
        hooks: Hooks,
    ) -> None:
        self._database = database
        self._settings = settings
        self._seal = seal
        self._issuer = issuer
        self._gate = gate
        self._hooks = hooks

    async def generate(self, principal: Principal, *, replaces: bool = False) -> RecoveryCodesView:
        """Draw codes; with ``replaces`` the ones that the user has are void.

        Raises:
            RecoveryNeedsAal2: 403. FactorNotFound: 404, there are none to replace.
            RecoveryCodesExist, RecoveryCodesSoleFactor, RecoveryEnrollNotEnabled: 422.
        """
        if not self._settings.mfa_recovery_codes_enroll_enabled:
            raise RecoveryEnrollNotEnabled
        codes = new_recovery_codes()
        async with self._database.unit_of_work() as work:
            user = await _strong_user(work, principal)
            repository = RecoveryCodeRepository(work)
            known = await repository.count_given(user.id)
            if replaces and not known:
                raise FactorNotFound
            if known and not replaces:
                raise RecoveryCodesExist
            await repository.replace(user.id, [self._seal.hash_recovery_code(user.id, c) for c in codes])
            await outbox.publish(work, RecoveryCodesGenerated(user_id=str(user.id)), key=str(user.id))
        return RecoveryCodesView(id=codes_id(user.id), total=len(codes), codes=list(codes))

    async def status(self, principal: Principal) -> RecoveryCodesStatus:
        """Say how many codes the caller has left.

        Raises:
            FactorNotFound: 404, none were given.
        """
        async with self._database.unit_of_work() as work:
            user = (await bearer_of(work, principal)).user
            repository = RecoveryCodeRepository(work)
            if not (total := await repository.count_given(user.id)):
                raise FactorNotFound
            remaining = await repository.count_unused(user.id)
        return RecoveryCodesStatus(id=codes_id(user.id), total=total, remaining=remaining)

    async def delete(self, principal: Principal) -> UUID:
        """Make every code of the caller void.

        Raises:
            RecoveryNeedsAal2: 403. FactorNotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            user = await _strong_user(work, principal)
            repository = RecoveryCodeRepository(work)
            if not await repository.count_given(user.id):
                raise FactorNotFound
            await repository.replace(user.id, [])
            await outbox.publish(work, RecoveryCodesDeleted(user_id=str(user.id)), key=str(user.id))
        return codes_id(user.id)

    async def verify(self, principal: Principal, code: str | None, origin: Origin) -> SessionView:
        """Take a code; return the caller's session with new tokens, ``aal2``.

        Raises:
            FactorVerificationRejected: 403. FactorVerificationFailed, RecoveryVerifyNotEnabled: 422.
            RateLimited, RecoveryCodesLocked: 429.
        """
        if not self._settings.mfa_recovery_codes_verify_enabled:
            raise RecoveryVerifyNotEnabled
        await self._gate.request(origin)
        async with self._database.unit_of_work() as work:
            bearer = await bearer_of(work, principal)
        user_id, session_id = bearer.user.id, bearer.session_id
        if session_id is None:
            raise EndedSession
        try:
            was_known = await self._gate.admit(user_id, origin)
        except RateLimited as error:
            raise RecoveryCodesLocked(error.message, headers=error.headers) from error
        code_hash = self._seal.hash_recovery_code(user_id, code or "")
        async with self._database.unit_of_work() as work:
            valid = await RecoveryCodeRepository(work).is_unused(user_id, code_hash)
        await ask_hook(self._hooks, self._database, user_id, codes_id(user_id), TYPE, valid=valid)
        session = await self._strengthen(user_id, session_id, code_hash, origin) if valid else None
        if session is None:
            await self._gate.failed(user_id, origin)
            raise FactorVerificationFailed("Invalid recovery code entered")
        await self._gate.held(user_id, origin, was_known=was_known)
        return session

    async def _strengthen(
        self, user_id: UUID, session_id: UUID, code_hash: str, origin: Origin
    ) -> SessionView | None:
        async def spend(work: AsyncSession) -> SessionView | None:
            if (user := await UserRepository(work).lock(user_id)) is None:
                raise UnknownBearer
            if user.is_banned:
                raise BannedBearer
            if (session := await SessionRepository(work).lock(session_id)) is None:
                raise EndedSession
            if not await RecoveryCodeRepository(work).spend(user_id, code_hash):
                return None
            event = FactorVerified(
                user_id=str(user_id),
                factor_id=str(codes_id(user_id)),
                factor_type=TYPE,
                session_id=str(session_id),
                method=RECOVERY_METHOD,
                is_first=False,
                address=origin.address,
            )
            await outbox.publish(work, event, key=str(user_id))
            return await strengthen(work, self._issuer, user, session, None, RECOVERY_METHOD)

        return await self._hooks.transact(self._database, spend)


def codes_id(user_id: UUID) -> UUID:
    """Return the id under which the wire knows a user's codes, which are no row of their own."""
    return uuid5(user_id, "auth.mfa_recovery_codes")


async def _strong_user(work: AsyncSession, principal: Principal) -> User:
    """Return the caller, locked, who has a factor and has used one in this session.

    Raises:
        RecoveryCodesSoleFactor: 422. RecoveryNeedsAal2: 403.
    """
    bearer = await bearer_of(work, principal)
    if (user := await UserRepository(work).lock(bearer.user.id)) is None:
        raise UnknownBearer
    if not await FactorRepository(work).has_verified(user.id):
        raise RecoveryCodesSoleFactor
    if bearer.aal != "aal2":
        raise RecoveryNeedsAal2
    return user
