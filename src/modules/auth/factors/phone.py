"""Codes that are sent to a number by text message."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from modules.auth.errors import ValidationFailed
from modules.auth.factors.dtos import EnrolledView
from modules.auth.factors.errors import (
    FactorVerificationFailed,
    PhoneEnrollNotEnabled,
    PhoneVerifyNotEnabled,
    VerifiedFactorExists,
)
from modules.auth.factors.kinds import Proof
from modules.auth.repositories import FactorRepository
from modules.auth.rules import check_channel, normal_phone
from monohull.kernel.crypto import constant_time_equal

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.factors.dtos import ChallengeBody, EnrollBody, VerifyFactorBody
    from modules.auth.factors.sealing import FactorSeal
    from modules.auth.models import Challenge, Factor, User
    from modules.auth.origin import Origin
    from modules.auth.services.sending import Sender


class Phone:
    """A number that gets a code for each challenge.

    Args:
        sender: Sends, and counts what was sent.
        seal: Hashes codes.
    """

    type = "phone"
    method = "mfa/phone"
    title = "MFA Phone"

    def __init__(self, sender: Sender, seal: FactorSeal) -> None:
        self._sender = sender
        self._settings = sender.settings
        self._seal = seal

    def check_enrolls(self) -> None:
        """Refuse where the settings do.

        Raises:
            PhoneEnrollNotEnabled: 422.
        """
        if not self._settings.mfa_phone_enroll_enabled:
            raise PhoneEnrollNotEnabled

    def check_verifies(self) -> None:
        """Refuse where the settings do.

        Raises:
            PhoneVerifyNotEnabled: 422.
        """
        if not self._settings.mfa_phone_verify_enabled:
            raise PhoneVerifyNotEnabled

    async def begin(self, work: AsyncSession, user: User, factor: Factor, body: EnrollBody) -> None:
        """Take the number over; an earlier try with it is forgotten.

        Raises:
            ValidationFailed: 400. VerifiedFactorExists: 422.
        """
        if not body.phone:
            raise ValidationFailed("A phone factor needs a phone number")
        factor.phone = normal_phone(body.phone)
        for other in await FactorRepository(work).list_of(user.id):
            if other.phone != factor.phone:
                continue
            if other.status == "verified":
                raise VerifiedFactorExists
            await work.delete(other)
        await work.flush()

    def describe(self, user: User, factor: Factor, body: EnrollBody, told: None) -> EnrolledView:
        """Name the number."""
        del user, body, told
        return EnrolledView(
            id=factor.id, type=self.type, friendly_name=factor.friendly_name or "", phone=factor.phone
        )

    async def ask(  # noqa: PLR0913, PLR0917 as `Kind`
        self,
        work: AsyncSession,
        user: User,
        factor: Factor,
        challenge: Challenge,
        body: ChallengeBody,
        origin: Origin,
    ) -> None:
        """Send a code; a test number gets none.

        Raises:
            ValidationFailed: 400. SmsUnavailable: 422. TooManyTexts: 429.
        """
        check_channel(body.channel)
        phone = factor.phone or ""
        fixed = self._settings.test_code(phone)
        if fixed is None:
            self._sender.courier.require_sms()
        await self._sender.limits.factor_text(phone, origin)
        length = self._settings.mfa_phone_otp_length
        code = fixed or f"{secrets.randbelow(10**length):0{length}d}"
        challenge.otp_code = self._seal.hash_text_code(challenge.id, code)
        if fixed is None:
            await self._sender.courier.text(
                work, phone, code, body.channel or "sms", user_id=str(user.id), is_factor=True
            )

    def check(self, factor: Factor, challenge: Challenge, body: VerifyFactorBody) -> Proof:
        """Compare with what was sent for this challenge."""
        del factor
        given = self._seal.hash_text_code(challenge.id, (body.code or "").strip())
        if not constant_time_equal(given, challenge.otp_code or ""):
            raise FactorVerificationFailed("Invalid MFA Phone code entered")
        return Proof()

    async def spend(self, *_: Any) -> bool:
        """Nothing to note: the challenge itself is answered once."""
        return True
