"""Refusals of second factors, by GoTrue's codes and texts.

Source: supabase/auth, ``internal/api/mfa.go`` and ``apierrors/errorcode.go``.
"""

from __future__ import annotations

from modules.auth.errors import AuthProblem
from modules.auth.flow_errors import InsufficientAal


class FactorNotFound(AuthProblem):
    """No factor of the user's own has this id."""

    code = "mfa_factor_not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__("Factor not found")


class MalformedFactorId(AuthProblem):
    """The id in the path is no UUID."""

    code = "validation_failed"
    status = 404

    def __init__(self) -> None:
        super().__init__("factor_id must be an UUID")


class ChallengeNotFound(AuthProblem):
    """The factor was not asked this, or the answer was given before."""

    code = "mfa_factor_not_found"
    status = 422

    def __init__(self) -> None:
        super().__init__("MFA factor with the provided challenge ID not found")


class ChallengeExpired(AuthProblem):
    """The answer to a challenge came too late."""

    code = "mfa_challenge_expired"
    status = 422

    def __init__(self) -> None:
        super().__init__("MFA challenge has expired, verify against another challenge or create a new one.")


class AddressMismatch(AuthProblem):
    """The challenge was asked for from another network."""

    code = "mfa_ip_address_mismatch"
    status = 422

    def __init__(self) -> None:
        super().__init__("Challenge and verify IP addresses mismatch.")


class FactorVerificationFailed(AuthProblem):
    """The answer to a challenge is wrong, or was used before: never says which."""

    code = "mfa_verification_failed"
    status = 422


class FactorVerificationRejected(AuthProblem):
    """The hook ``mfa_verification_attempt`` said no; every session of the user has ended."""

    code = "mfa_verification_rejected"
    status = 403


class TotpEnrollNotEnabled(AuthProblem):
    """``MFA_TOTP_ENROLL_ENABLED`` is off."""

    code = "mfa_totp_enroll_not_enabled"
    status = 422

    def __init__(self) -> None:
        super().__init__("MFA enroll is disabled for TOTP")


class TotpVerifyNotEnabled(AuthProblem):
    """``MFA_TOTP_VERIFY_ENABLED`` is off."""

    code = "mfa_totp_verify_not_enabled"
    status = 422

    def __init__(self) -> None:
        super().__init__("MFA verification is disabled for TOTP")


class PhoneEnrollNotEnabled(AuthProblem):
    """``MFA_PHONE_ENROLL_ENABLED`` is off."""

    code = "mfa_phone_enroll_not_enabled"
    status = 422

    def __init__(self) -> None:
        super().__init__("MFA enroll is disabled for Phone")


class PhoneVerifyNotEnabled(AuthProblem):
    """``MFA_PHONE_VERIFY_ENABLED`` is off."""

    code = "mfa_phone_verify_not_enabled"
    status = 422

    def __init__(self) -> None:
        super().__init__("MFA verification is disabled for Phone")


class WebAuthnEnrollNotEnabled(AuthProblem):
    """``MFA_WEB_AUTHN_ENROLL_ENABLED`` is off."""

    code = "mfa_webauthn_enroll_not_enabled"
    status = 422

    def __init__(self) -> None:
        super().__init__("MFA enroll is disabled for WebAuthn")


class WebAuthnVerifyNotEnabled(AuthProblem):
    """``MFA_WEB_AUTHN_VERIFY_ENABLED`` is off."""

    code = "mfa_webauthn_verify_not_enabled"
    status = 422

    def __init__(self) -> None:
        super().__init__("MFA verification is disabled for WebAuthn")


class VerifiedFactorExists(AuthProblem):
    """The number is a factor of the user already."""

    code = "mfa_verified_factor_exists"
    status = 422

    def __init__(self) -> None:
        super().__init__("A verified phone factor already exists, unenroll the existing factor to continue")


class TooManyFactors(AuthProblem):
    """The user has as many factors as one may have."""

    code = "too_many_enrolled_mfa_factors"
    status = 422

    def __init__(self) -> None:
        super().__init__("Maximum number of verified factors reached, unenroll to continue")


class FactorNameConflict(AuthProblem):
    """Another factor of the user has this name."""

    code = "mfa_factor_name_conflict"
    status = 422

    def __init__(self) -> None:
        super().__init__("A factor with this friendly name already exists for this user")


class EnrollNeedsAal2(InsufficientAal):
    """The user has a second factor, and another one takes it."""

    code = "insufficient_aal"
    status = 403

    def __init__(self) -> None:
        AuthProblem.__init__(self, "AAL2 required to enroll a new factor")


class UnenrollNeedsAal2(InsufficientAal):
    """A factor that is in use is taken away only by who has used it in this session."""

    code = "insufficient_aal"
    status = 422

    def __init__(self) -> None:
        AuthProblem.__init__(self, "AAL2 required to unenroll verified factor")


class RecoveryNeedsAal2(InsufficientAal):
    """Recovery codes are given to who has used a second factor in this session."""

    code = "insufficient_aal"
    status = 403

    def __init__(self) -> None:
        AuthProblem.__init__(self, "AAL2 required to manage recovery codes")


class RecoveryEnrollNotEnabled(AuthProblem):
    """``MFA_RECOVERY_CODES_ENROLL_ENABLED`` is off."""

    code = "mfa_recovery_codes_enroll_not_enabled"
    status = 422

    def __init__(self) -> None:
        super().__init__("MFA enroll is disabled for recovery codes")


class RecoveryVerifyNotEnabled(AuthProblem):
    """``MFA_RECOVERY_CODES_VERIFY_ENABLED`` is off."""

    code = "mfa_recovery_codes_verify_not_enabled"
    status = 422

    def __init__(self) -> None:
        super().__init__("MFA verification is disabled for recovery codes")


class RecoveryCodesExist(AuthProblem):
    """The user has recovery codes already."""

    code = "mfa_verified_factor_exists"
    status = 422

    def __init__(self) -> None:
        super().__init__("Recovery codes exist already, regenerate them to replace them")


class RecoveryCodesSoleFactor(AuthProblem):
    """There is no factor that recovery codes could stand in for."""

    code = "mfa_recovery_codes_sole_factor"
    status = 422

    def __init__(self) -> None:
        super().__init__("Recovery codes need another verified factor")


class RecoveryCodesLocked(AuthProblem):
    """Too many wrong codes came; ``Retry-After`` says how long to wait."""

    code = "mfa_recovery_codes_locked"
    status = 429


class AnonymousBearer(AuthProblem):
    """Who has neither address nor number has nothing that a second factor could protect."""

    code = "no_authorization"
    status = 403

    def __init__(self) -> None:
        super().__init__("Anonymous user not allowed to perform these actions")
