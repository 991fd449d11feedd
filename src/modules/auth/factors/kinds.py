"""`Kind`: what one type of second factor does its own way, and `Totp`, the first of them.

Everything else is the same for all: who may enrol, ask and answer, how often,
and what a right answer means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from modules.auth.factors import totp
from modules.auth.factors.dtos import EnrolledView, TotpView
from modules.auth.factors.errors import (
    FactorVerificationFailed,
    TotpEnrollNotEnabled,
    TotpVerifyNotEnabled,
)
from modules.auth.repositories import FactorRepository
from modules.auth.rules import check_storable
from monohull.kernel import clock
from monohull.kernel.crypto import DecryptionError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.factors.dtos import ChallengeBody, EnrollBody, VerifyFactorBody
    from modules.auth.factors.sealing import FactorSeal
    from modules.auth.models import Challenge, Factor, User
    from modules.auth.origin import Origin
    from modules.auth.settings import AuthSettings

MAX_ISSUER_CHARACTERS = 100
UNREADABLE = "This factor cannot be verified any more: the secret of this installation was changed"


class Proof(Struct, frozen=True):
    """A right answer, and what has to be noted so that it is right only once."""

    step: int = 0
    credential: Mapping[str, Any] = {}


class Kind(Protocol):
    """One type of second factor."""

    type: str
    """The wire's ``factor_type``."""

    method: str
    """How the ``amr`` claim names it."""

    title: str
    """How messages name it."""

    def check_enrolls(self) -> None:
        """Refuse to enrol where the settings do."""
        ...

    def check_verifies(self) -> None:
        """Refuse challenges and answers where the settings do."""
        ...

    async def begin(self, work: AsyncSession, user: User, factor: Factor, body: EnrollBody) -> Any:
        """Fill in ``factor``, which is not saved yet; return what `describe` needs."""
        ...

    def describe(self, user: User, factor: Factor, body: EnrollBody, told: Any) -> EnrolledView:
        """Return the answer to an enrolment, after the commit."""
        ...

    async def ask(  # noqa: PLR0913, PLR0917 who is asked what, and from where
        self,
        work: AsyncSession,
        user: User,
        factor: Factor,
        challenge: Challenge,
        body: ChallengeBody,
        origin: Origin,
    ) -> dict[str, Any] | None:
        """Fill in ``challenge``, which is not saved yet; return what the client needs beyond its id."""
        ...

    def check(self, factor: Factor, challenge: Challenge, body: VerifyFactorBody) -> Proof:
        """Compare.

        Raises:
            FactorVerificationFailed: 422.
        """
        ...

    async def spend(self, work: AsyncSession, factor: Factor, proof: Proof) -> bool:
        """Note a right answer; False when it was used meanwhile."""
        ...


class Totp:
    """Codes of an authenticator app.

    Args:
        settings: Whether it is allowed.
        seal: Keeps the secret.
        issuer: What the app shows above the code unless the client says otherwise.
    """

    type = "totp"
    method = "totp"
    title = "TOTP"

    def __init__(self, settings: AuthSettings, seal: FactorSeal, issuer: str) -> None:
        self._settings = settings
        self._seal = seal
        self._issuer = issuer

    def check_enrolls(self) -> None:
        """Refuse where the settings do.

        Raises:
            TotpEnrollNotEnabled: 422.
        """
        if not self._settings.mfa_totp_enroll_enabled:
            raise TotpEnrollNotEnabled

    def check_verifies(self) -> None:
        """Refuse where the settings do.

        Raises:
            TotpVerifyNotEnabled: 422.
        """
        if not self._settings.mfa_totp_verify_enabled:
            raise TotpVerifyNotEnabled

    async def begin(self, work: AsyncSession, user: User, factor: Factor, body: EnrollBody) -> str:
        """Draw a secret."""
        del work, user
        check_storable(body.issuer)
        secret = totp.new_secret()
        factor.secret = self._seal.close(factor.id, secret)
        return secret

    def describe(self, user: User, factor: Factor, body: EnrollBody, told: str) -> EnrolledView:
        """Tell the secret, this once; drawing the code takes some milliseconds."""
        uri = totp.uri(
            told,
            issuer=(body.issuer or self._issuer)[:MAX_ISSUER_CHARACTERS],
            account=user.email or user.phone or str(user.id),
        )
        view = TotpView(qr_code=totp.qr_code(uri), secret=told, uri=uri)
        return EnrolledView(id=factor.id, type=self.type, friendly_name=factor.friendly_name or "", totp=view)

    async def ask(self, *_: Any) -> None:
        """Ask for nothing beyond the code."""

    def check(self, factor: Factor, challenge: Challenge, body: VerifyFactorBody) -> Proof:
        """Compare with the codes of now."""
        del challenge
        try:
            secret = self._seal.open(factor.id, factor.secret or "")
        except DecryptionError as error:
            raise FactorVerificationFailed(UNREADABLE) from error
        step = totp.find_step(secret, (body.code or "").strip(), at=clock.unix_seconds())
        if step is None:
            raise FactorVerificationFailed("Invalid TOTP code entered")
        return Proof(step=step)

    async def spend(self, work: AsyncSession, factor: Factor, proof: Proof) -> bool:
        """Note the step: neither it nor an earlier one is accepted again."""
        return await FactorRepository(work).spend_step(factor.id, proof.step)
