"""Refusals of passkeys, by GoTrue's codes.

Source: supabase/auth, ``internal/api/apierrors/errorcode.go``.
"""

from __future__ import annotations

from modules.auth.errors import AuthProblem
from modules.auth.flow_errors import InsufficientAal


class PasskeyDisabled(AuthProblem):
    """``PASSKEY_ENABLED`` is off."""

    code = "passkey_disabled"
    status = 404

    def __init__(self) -> None:
        super().__init__("Passkeys are disabled")


class TooManyPasskeys(AuthProblem):
    """The user has as many passkeys as one may have."""

    code = "too_many_passkeys"
    status = 422

    def __init__(self) -> None:
        super().__init__("Maximum number of passkeys reached, delete one to continue")


class PasskeyChallengeNotFound(AuthProblem):
    """Nobody was asked this, or the answer was given before."""

    code = "webauthn_challenge_not_found"
    status = 400

    def __init__(self) -> None:
        super().__init__("Challenge not found or used already")


class PasskeyChallengeExpired(AuthProblem):
    """The answer came too late."""

    code = "webauthn_challenge_expired"
    status = 400

    def __init__(self) -> None:
        super().__init__("Challenge has expired, start again")


class PasskeyVerificationFailed(AuthProblem):
    """The answer does not hold: never says why."""

    code = "webauthn_verification_failed"
    status = 400

    def __init__(self) -> None:
        super().__init__("Passkey verification failed")


class CredentialNotFound(AuthProblem):
    """Nobody registered the key that signed."""

    code = "webauthn_credential_not_found"
    status = 400

    def __init__(self) -> None:
        super().__init__("Passkey not found")


class PasskeyNotFound(AuthProblem):
    """No passkey of the user has this id."""

    code = "webauthn_credential_not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__("Passkey not found")


class MalformedPasskeyId(AuthProblem):
    """The id in the path is no UUID."""

    code = "validation_failed"
    status = 404

    def __init__(self) -> None:
        super().__init__("passkey_id must be an UUID")


class CredentialExists(AuthProblem):
    """The key is registered already."""

    code = "webauthn_credential_exists"
    status = 422

    def __init__(self) -> None:
        super().__init__("This passkey is registered already")


class RemoveNeedsAal2(InsufficientAal):
    """The user has a second factor, and what signs in without it is not taken away without it either."""

    code = "insufficient_aal"
    status = 403

    def __init__(self) -> None:
        AuthProblem.__init__(self, "AAL2 required to remove a passkey")
