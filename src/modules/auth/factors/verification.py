"""Ask a second factor, believe the answer, and strengthen the session.

Nothing is held while the hook is asked. So an answer is compared first and
counted for right only in a second transaction, which looks again whether the
challenge is still open and the code was not spent: of two requests with one
code one succeeds.

Source: supabase/auth, ``internal/api/mfa.go``.
"""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from modules.auth.errors import BannedBearer, EndedSession, UnknownBearer, ValidationFailed
from modules.auth.factors.dtos import ChallengeView
from modules.auth.factors.enrolment import factor_id_of
from modules.auth.factors.errors import (
    AddressMismatch,
    ChallengeExpired,
    ChallengeNotFound,
    FactorNotFound,
    FactorVerificationFailed,
)
from modules.auth.factors.events import FactorVerified
from modules.auth.factors.hook import ask_hook
from modules.auth.factors.kinds import Proof
from modules.auth.factors.sealing import looks_like_recovery_code
from modules.auth.factors.strengthening import RECOVERY_METHOD, strengthen
from modules.auth.models import Challenge
from modules.auth.origin import Origin
from modules.auth.repositories import (
    ChallengeRepository,
    FactorRepository,
    RecoveryCodeRepository,
    SessionRepository,
    UserRepository,
)
from modules.auth.services.account import bearer_of
from monohull.kernel import clock, outbox
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import SessionView
    from modules.auth.factors.dtos import ChallengeBody, VerifyFactorBody
    from modules.auth.factors.gate import FactorGate
    from modules.auth.factors.kinds import Kind
    from modules.auth.factors.sealing import FactorSeal
    from modules.auth.hooks import Hooks
    from modules.auth.models import Factor, Session, User
    from modules.auth.services import SessionIssuer
    from modules.auth.services.sending import Sender
    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal

NOWHERE: Final = IPv4Address("0.0.0.0")  # noqa: S104 nothing listens there: it stands for no address
"""Where a challenge comes from that came by a socket without addresses."""


class Asked(Struct, frozen=True):
    """A challenge that may be answered, and by whom."""

    user: User
    session_id: UUID
    factor: Factor
    challenge: Challenge


class FactorVerification:
    """Asks second factors.

    Args:
        database: Where they are.
        kinds: By ``factor_type``.
        issuer: Gives the stronger session its tokens.
        sender: Tells people by mail.
        gate: Counts.
        seal: Hashes recovery codes.
        hooks: May refuse.
    """

    def __init__(  # noqa: PLR0913 everything that a second factor asks
        self,
        database: Database,
        kinds: Mapping[str, Kind],
        *,
        issuer: SessionIssuer,
        sender: Sender,
        gate: FactorGate,
        seal: FactorSeal,
        hooks: Hooks,
    ) -> None:
        self._database = database
        self._kinds = kinds
        self._issuer = issuer
        self._sender = sender
        self._gate = gate
        self._seal = seal
        self._hooks = hooks
        self._lifetime = timedelta(seconds=sender.settings.mfa_challenge_expiry_duration)

    async def challenge(
        self, principal: Principal, factor_id: str, body: ChallengeBody, origin: Origin
    ) -> ChallengeView:
        """Ask a factor of the caller.

        Raises:
            MalformedFactorId, FactorNotFound: 404. RateLimited: 429.
        """
        parsed = factor_id_of(factor_id)
        await self._gate.request(origin)
        async with self._database.unit_of_work() as work:
            user = (await bearer_of(work, principal)).user
            factor = await _factor_of(work, user, parsed)
            kind = self._kinds[factor.factor_type]
            kind.check_verifies()
            challenge = Challenge(
                id=uuid7(), factor_id=factor.id, created_at=clock.now(), ip_address=origin.ip or NOWHERE
            )
            shown = await kind.ask(work, user, factor, challenge, body, origin)
            await ChallengeRepository(work).add(challenge)
            factor.last_challenged_at = challenge.created_at
        expires_at = int((challenge.created_at + self._lifetime).timestamp())
        return ChallengeView(id=challenge.id, type=kind.type, expires_at=expires_at, webauthn=shown)

    async def verify(
        self, principal: Principal, factor_id: str, body: VerifyFactorBody, origin: Origin
    ) -> SessionView:
        """Take the answer to a challenge; return the caller's session with new tokens, ``aal2``.

        Raises:
            ValidationFailed: 400. FactorVerificationRejected: 403. MalformedFactorId, FactorNotFound: 404.
            ChallengeNotFound, ChallengeExpired, AddressMismatch, FactorVerificationFailed: 422.
            RateLimited: 429.
        """
        parsed = factor_id_of(factor_id)
        await self._gate.request(origin)
        async with self._database.unit_of_work() as work:
            asked = await self._find(work, principal, parsed, body, origin)
        kind = self._kinds[asked.factor.factor_type]
        was_known = await self._gate.admit(asked.user.id, origin)
        try:
            session = await self._compare_and_strengthen(kind, asked, body, origin)
        except FactorVerificationFailed:
            await self._gate.failed(asked.user.id, origin)
            raise
        await self._gate.held(asked.user.id, origin, was_known=was_known)
        return session

    async def _find(
        self,
        work: AsyncSession,
        principal: Principal,
        factor_id: UUID,
        body: VerifyFactorBody,
        origin: Origin,
    ) -> Asked:
        bearer = await bearer_of(work, principal)
        if bearer.session_id is None:
            raise EndedSession
        factor = await _factor_of(work, bearer.user, factor_id)
        self._kinds[factor.factor_type].check_verifies()
        if body.challenge_id is None:
            raise ValidationFailed("Verify requires a challenge_id")
        challenge = await ChallengeRepository(work).find_of(factor.id, body.challenge_id)
        if challenge is None:
            raise ChallengeNotFound
        if challenge.created_at + self._lifetime <= clock.now():
            raise ChallengeExpired
        if Origin(str(challenge.ip_address)).network != Origin(str(origin.ip or NOWHERE)).network:
            raise AddressMismatch
        return Asked(bearer.user, bearer.session_id, factor, challenge)

    async def _compare_and_strengthen(
        self, kind: Kind, asked: Asked, body: VerifyFactorBody, origin: Origin
    ) -> SessionView:
        recovery_hash = await self._recovery_hash(asked, body)
        proof, refusal = Proof(), None
        if recovery_hash is None:
            try:
                proof = kind.check(asked.factor, asked.challenge, body)
            except FactorVerificationFailed as error:
                refusal = error
        await ask_hook(
            self._hooks,
            self._database,
            asked.user.id,
            asked.factor.id,
            kind.type,
            valid=refusal is None,
        )
        if refusal is not None:
            raise refusal

        async def spend(work: AsyncSession) -> SessionView:
            user, session = await _lock(work, asked)
            factor = await _factor_of(work, user, asked.factor.id)
            if not await ChallengeRepository(work).take(asked.challenge.id):
                raise ChallengeNotFound
            if not await self._spend(work, kind, factor, proof, recovery_hash):
                raise FactorVerificationFailed(f"Invalid {kind.title} code entered")
            method = kind.method if recovery_hash is None else RECOVERY_METHOD
            await self._put_in_use(work, kind, user, session, factor, method, origin)
            return await strengthen(work, self._issuer, user, session, factor, method)

        return await self._hooks.transact(self._database, spend)

    async def _recovery_hash(self, asked: Asked, body: VerifyFactorBody) -> str | None:
        """Return the hash of a recovery code that holds, or None when the answer is none."""
        if not self._sender.settings.mfa_recovery_codes_verify_enabled:
            return None
        if asked.factor.status != "verified" or not looks_like_recovery_code(body.code or ""):
            return None
        code_hash = self._seal.hash_recovery_code(asked.user.id, body.code or "")
        async with self._database.unit_of_work() as work:
            return (
                code_hash if await RecoveryCodeRepository(work).is_unused(asked.user.id, code_hash) else None
            )

    async def _spend(
        self, work: AsyncSession, kind: Kind, factor: Factor, proof: Proof, recovery_hash: str | None
    ) -> bool:
        if recovery_hash is not None:
            return await RecoveryCodeRepository(work).spend(factor.user_id, recovery_hash)
        return await kind.spend(work, factor, proof)

    async def _put_in_use(  # noqa: PLR0913, PLR0917 what happened, where and how
        self,
        work: AsyncSession,
        kind: Kind,
        user: User,
        session: Session,
        factor: Factor,
        method: str,
        origin: Origin,
    ) -> None:
        """Tell of the right answer; the first one of a factor puts it in use."""
        if is_first := factor.status != "verified":
            factors = FactorRepository(work)
            factor.status = "verified"
            await factors.delete_unverified(user.id, factor_type=kind.type, but=factor.id)
            await factors.end_weak_sessions(user.id, but=session.id)
            await self._sender.notify(work, user, "mfa_factor_enrolled_notification", factor_type=kind.title)
        event = FactorVerified(
            user_id=str(user.id),
            factor_id=str(factor.id),
            factor_type=factor.factor_type,
            session_id=str(session.id),
            method=method,
            is_first=is_first,
            address=origin.address,
        )
        await outbox.publish(work, event, key=str(user.id))


async def _factor_of(work: AsyncSession, user: User, factor_id: UUID) -> Factor:
    if (factor := await FactorRepository(work).find_of(user.id, factor_id)) is None:
        raise FactorNotFound
    return factor


async def _lock(work: AsyncSession, asked: Asked) -> tuple[User, Session]:
    """Hold user and session, in the order in which everything in auth takes them."""
    if (user := await UserRepository(work).lock(asked.user.id)) is None:
        raise UnknownBearer
    if user.is_banned:
        raise BannedBearer
    if (session := await SessionRepository(work).lock(asked.session_id)) is None:
        raise EndedSession
    return user, session
