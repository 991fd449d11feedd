"""Second factors that are keys (WebAuthn): the first challenge makes the key, later ones have it sign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from modules.auth.ceremonies import CeremonyFailed, credential_id_of, decode, encode, new_challenge
from modules.auth.errors import ValidationFailed
from modules.auth.factors.dtos import EnrolledView
from modules.auth.factors.errors import (
    FactorVerificationFailed,
    WebAuthnEnrollNotEnabled,
    WebAuthnVerifyNotEnabled,
)
from modules.auth.factors.kinds import Proof
from modules.auth.repositories import FactorRepository

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.ceremonies import RelyingParty
    from modules.auth.factors.dtos import ChallengeBody, EnrollBody, VerifyFactorBody
    from modules.auth.models import Challenge, Factor, User
    from modules.auth.origin import Origin
    from modules.auth.settings import AuthSettings

CREATE = "create"
REQUEST = "request"
WRONG = "Invalid WebAuthn response"


class WebAuthn:
    """A security key, or what a device has in its place.

    Args:
        settings: Whether it is allowed.
        party: Checks what keys make and sign.
    """

    type = "webauthn"
    method = "mfa/webauthn"
    title = "WebAuthn"

    def __init__(self, settings: AuthSettings, party: RelyingParty) -> None:
        self._settings = settings
        self._party = party

    def check_enrolls(self) -> None:
        """Refuse where the settings do.

        Raises:
            WebAuthnEnrollNotEnabled: 422.
        """
        if not self._settings.mfa_web_authn_enroll_enabled:
            raise WebAuthnEnrollNotEnabled

    def check_verifies(self) -> None:
        """Refuse where the settings do.

        Raises:
            WebAuthnVerifyNotEnabled: 422.
        """
        if not self._settings.mfa_web_authn_verify_enabled:
            raise WebAuthnVerifyNotEnabled

    async def begin(self, *_: Any) -> None:
        """Nothing yet: the first challenge makes the key."""

    def describe(self, user: User, factor: Factor, body: EnrollBody, told: None) -> EnrolledView:
        """Name the factor."""
        del user, body, told
        return EnrolledView(id=factor.id, type=self.type, friendly_name=factor.friendly_name or "")

    async def ask(  # noqa: PLR0913, PLR0917 as `Kind`
        self,
        work: AsyncSession,
        user: User,
        factor: Factor,
        challenge: Challenge,
        body: ChallengeBody,
        origin: Origin,
    ) -> dict[str, Any]:
        """Have a key made, or have the one that there is sign."""
        del body, origin
        text = new_challenge()
        if factor.web_authn_credential is None:
            kind = CREATE
            factors = await FactorRepository(work).list_of(user.id)
            known = [decode(one.web_authn_credential["id"]) for one in factors if one.web_authn_credential]
            options = self._party.creation_options(user, text, known=known, is_passkey=False)
        else:
            kind = REQUEST
            options = self._party.request_options(text, allowed=[decode(factor.web_authn_credential["id"])])
        challenge.web_authn_session_data = {"challenge": text, "type": kind}
        return {"type": kind, "credential_options": {"publicKey": options}}

    def check(self, factor: Factor, challenge: Challenge, body: VerifyFactorBody) -> Proof:
        """Check what the key made or signed.

        Raises:
            ValidationFailed: 400, there is no answer of the kind that was asked for.
        """
        asked: Mapping[str, Any] = challenge.web_authn_session_data or {}
        answer = body.webauthn
        if answer is None or answer.credential_response is None or answer.type != asked.get("type"):
            raise ValidationFailed(f"Verify requires a webauthn answer of the type {asked.get('type')}")
        try:
            return self._compare(factor, str(asked["challenge"]), answer.credential_response)
        except CeremonyFailed as error:
            raise FactorVerificationFailed(WRONG) from error

    def _compare(self, factor: Factor, text: str, response: dict[str, Any]) -> Proof:
        known = factor.web_authn_credential
        if known is None:
            made = self._party.register(response, text)
            credential = {
                "id": encode(made.credential_id),
                "public_key": encode(made.public_key),
                "sign_count": made.sign_count,
                "transports": made.transports,
                "aaguid": made.aaguid,
            }
            return Proof(step=made.sign_count, credential=credential)
        if encode(credential_id_of(response)) != known["id"]:
            raise CeremonyFailed("another key signed")
        signed = self._party.check_signature(
            response, text, public_key=decode(known["public_key"]), sign_count=known["sign_count"]
        )
        return Proof(step=signed.sign_count)

    async def spend(self, work: AsyncSession, factor: Factor, proof: Proof) -> bool:
        """Keep the key, or how often it has signed by now; the user's row is held meanwhile."""
        del work
        known = factor.web_authn_credential
        if proof.credential:
            if known is not None:
                return False
            factor.web_authn_credential = dict(proof.credential)
            factor.web_authn_aaguid = UUID(proof.credential["aaguid"])
            return True
        if known is None or 0 < proof.step <= known["sign_count"]:
            return False
        factor.web_authn_credential = {**known, "sign_count": proof.step}
        return True
