"""The two ceremonies of WebAuthn, for passkeys and for second factors: register a key, and sign with it.

Attestation is not asked for: what a key is made of is its owner's business.
Everything that comes back from a browser is untrusted, and so is what a parser
makes of it: whatever goes wrong there is one refusal. The library is imported by
the first ceremony: it takes 4 MB, and most processes see none.

Source: W3C Web Authentication Level 3, sections 7.1 and 7.2; the checks are py_webauthn's.
"""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modules.auth.models import User

TIMEOUT_MILLISECONDS: Final = 300_000
CHALLENGE_BYTES: Final = 64
MAX_RESPONSE_BYTES: Final = 65_536
MAX_CREDENTIAL_ID_BYTES: Final = 1023
"""The standard's limit."""

TRANSPORTS: Final = ("ble", "cable", "hybrid", "internal", "nfc", "smart-card", "usb")


class CeremonyFailed(Exception):
    """The answer of an authenticator does not hold. Why is for logs and not for whoever sent it."""


class Registered(Struct, frozen=True, kw_only=True):
    """A key that was made."""

    credential_id: bytes
    public_key: bytes
    aaguid: str
    sign_count: int
    transports: list[str]
    backup_eligible: bool
    backed_up: bool


class Signed(Struct, frozen=True, kw_only=True):
    """A key that signed."""

    sign_count: int
    backed_up: bool


class RelyingParty:
    """The site that keys are made for.

    Args:
        rp_id: Its domain.
        name: How authenticators show it.
        origins: Where its pages come from, with scheme and port.
    """

    def __init__(self, rp_id: str, name: str, origins: Iterable[str]) -> None:
        self.rp_id = rp_id
        self.name = name
        self.origins = [origin.rstrip("/") for origin in origins]

    def creation_options(
        self, user: User, challenge: str, *, known: Iterable[bytes], is_passkey: bool
    ) -> dict[str, Any]:
        """Return what ``navigator.credentials.create`` takes.

        Args:
            user: Whose key it will be.
            challenge: From `new_challenge`.
            known: Ids of keys that the user has already.
            is_passkey: Whether the key has to be found without the user being named.
        """
        import webauthn  # noqa: PLC0415 see above
        from webauthn.helpers import options_to_json_dict, structs  # noqa: PLC0415 see above

        wish = structs.ResidentKeyRequirement
        name = user.email or user.phone or str(user.id)
        options = webauthn.generate_registration_options(
            rp_id=self.rp_id,
            rp_name=self.name,
            user_id=user.id.bytes,
            user_name=name,
            challenge=decode(challenge),
            timeout=TIMEOUT_MILLISECONDS,
            authenticator_selection=structs.AuthenticatorSelectionCriteria(
                resident_key=wish.REQUIRED if is_passkey else wish.DISCOURAGED,
                user_verification=structs.UserVerificationRequirement.PREFERRED,
            ),
            exclude_credentials=[structs.PublicKeyCredentialDescriptor(id=key) for key in known],
        )
        return _json(options_to_json_dict(options))

    def request_options(self, challenge: str, *, allowed: Iterable[bytes] = ()) -> dict[str, Any]:
        """Return what ``navigator.credentials.get`` takes; without ``allowed`` any passkey may answer."""
        import webauthn  # noqa: PLC0415 see above
        from webauthn.helpers import options_to_json_dict, structs  # noqa: PLC0415 see above

        keys = [structs.PublicKeyCredentialDescriptor(id=key) for key in allowed]
        options = webauthn.generate_authentication_options(
            rp_id=self.rp_id,
            challenge=decode(challenge),
            timeout=TIMEOUT_MILLISECONDS,
            allow_credentials=keys,
        )
        shown = _json(options_to_json_dict(options))
        if not keys:
            shown.pop("allowCredentials", None)
        return shown

    def register(self, credential: dict[str, Any], challenge: str) -> Registered:
        """Check a key that was made for ``challenge``.

        Raises:
            CeremonyFailed: It was not made for it, or not by this site.
        """
        import webauthn  # noqa: PLC0415 see above
        from webauthn.helpers import structs  # noqa: PLC0415 see above

        _check_size(credential)
        try:
            found = webauthn.verify_registration_response(
                credential=credential,
                expected_challenge=decode(challenge),
                expected_rp_id=self.rp_id,
                expected_origin=self.origins,
            )
        except Exception as error:  # what parses bytes of strangers may raise anything
            raise CeremonyFailed(str(error)) from error
        if found.fmt not in (structs.AttestationFormat.NONE, structs.AttestationFormat.PACKED):
            raise CeremonyFailed(f"attestation {found.fmt} was not asked for")
        if len(found.credential_id) > MAX_CREDENTIAL_ID_BYTES:
            raise CeremonyFailed("the id of the credential is too long")
        return Registered(
            credential_id=found.credential_id,
            public_key=found.credential_public_key,
            aaguid=found.aaguid,
            sign_count=found.sign_count,
            transports=_transports(credential),
            backup_eligible=found.credential_device_type is structs.CredentialDeviceType.MULTI_DEVICE,
            backed_up=found.credential_backed_up,
        )

    def check_signature(
        self, credential: dict[str, Any], challenge: str, *, public_key: bytes, sign_count: int
    ) -> Signed:
        """Check what a known key signed for ``challenge``.

        Args:
            credential: As the browser gives it.
            challenge: That was to be signed.
            public_key: Of the key.
            sign_count: How often it signed when it was used last; a lower number is a copy of the key.

        Raises:
            CeremonyFailed: It was another key, another challenge, another site, or was seen before.
        """
        import webauthn  # noqa: PLC0415 see above

        _check_size(credential)
        try:
            found = webauthn.verify_authentication_response(
                credential=credential,
                expected_challenge=decode(challenge),
                expected_rp_id=self.rp_id,
                expected_origin=self.origins,
                credential_public_key=public_key,
                credential_current_sign_count=sign_count,
            )
        except Exception as error:  # what parses bytes of strangers may raise anything
            raise CeremonyFailed(str(error)) from error
        return Signed(sign_count=found.new_sign_count, backed_up=found.credential_backed_up)


def new_challenge() -> str:
    """Return 64 random bytes in base64url."""
    return encode(secrets.token_bytes(CHALLENGE_BYTES))


def credential_id_of(credential: dict[str, Any]) -> bytes:
    """Return the id of the key that a browser's answer names.

    Raises:
        CeremonyFailed: It names none.
    """
    raw = credential.get("rawId") or credential.get("id")
    try:
        return decode(raw) if isinstance(raw, str) else b""
    except ValueError as error:
        raise CeremonyFailed("the id of the credential is not base64url") from error


def user_handle_of(credential: dict[str, Any]) -> bytes | None:
    """Return whose key a browser's answer says it is, if it does.

    Raises:
        CeremonyFailed: It is not base64url.
    """
    response = credential.get("response")
    raw = response.get("userHandle") if isinstance(response, dict) else None
    try:
        return decode(raw) if isinstance(raw, str) and raw else None
    except ValueError as error:
        raise CeremonyFailed("the user handle is not base64url") from error


def encode(raw: bytes) -> str:
    """Return bytes in base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Return what `encode` was given.

    Raises:
        ValueError: It is not base64url.
    """
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _check_size(credential: dict[str, Any]) -> None:
    if len(msgspec.json.encode(credential)) > MAX_RESPONSE_BYTES:
        raise CeremonyFailed("the answer is too long")


def _transports(credential: dict[str, Any]) -> list[str]:
    response = credential.get("response")
    found = response.get("transports") if isinstance(response, dict) else None
    return [name for name in TRANSPORTS if isinstance(found, list) and name in found]


def _json(options: dict[str, Any]) -> dict[str, Any]:
    """Return options whose enumerations are plain values."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(options))
    return plain
