"""Refusals that GoTrue's clients know, by its codes and texts.

Source: supabase/auth, ``internal/api/apierrors/errorcode.go`` and the calls that raise them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from monohull.kernel.errors import InvalidCredential, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence


class AuthProblem(Problem):
    """Base of this wire's own refusals."""


class BadJson(AuthProblem):
    """The body is not JSON of the shape that the route takes."""

    code = "bad_json"
    status = 400


class ValidationFailed(AuthProblem):
    """A value decodes and cannot be used."""

    code = "validation_failed"
    status = 400


class InvalidCredentials(AuthProblem):
    """Wrong password, no such user, no password set: never says which."""

    code = "invalid_credentials"
    status = 400

    def __init__(self, message: str = "Invalid login credentials") -> None:
        super().__init__(message)


class EmailNotConfirmed(AuthProblem):
    """The password is right; the address was never confirmed."""

    code = "email_not_confirmed"
    status = 400

    def __init__(self) -> None:
        super().__init__("Email not confirmed")


class PhoneNotConfirmed(AuthProblem):
    """The password is right; the number was never confirmed."""

    code = "phone_not_confirmed"
    status = 400

    def __init__(self) -> None:
        super().__init__("Phone not confirmed")


class UserBanned(AuthProblem):
    """The user may not sign in for now."""

    code = "user_banned"
    status = 400

    def __init__(self) -> None:
        super().__init__("User is banned")


class BannedBearer(UserBanned):
    """The bearer of the token is banned."""

    code = "user_banned"
    status = 403


class SignupDisabled(AuthProblem):
    """``DISABLE_SIGNUP`` is set."""

    code = "signup_disabled"
    status = 422

    def __init__(self) -> None:
        super().__init__("Signups not allowed for this instance")


class EmailProviderDisabled(AuthProblem):
    """E-mail is switched off here."""

    code = "email_provider_disabled"
    status = 400


class MailUnavailable(AuthProblem):
    """It takes a mail, and there is no way to send one."""

    code = "email_provider_disabled"
    status = 422
    hint = "Set MONOHULL_AUTH_SMTP_HOST, or MONOHULL_AUTH_MAILER_AUTOCONFIRM=true to trust addresses."


class SmsUnavailable(AuthProblem):
    """It takes a text message, and there is no way to send one."""

    code = "sms_send_failed"
    status = 422
    hint = "Set MONOHULL_AUTH_SMS_PROVIDER and the provider's credentials."

    def __init__(self) -> None:
        super().__init__("Unable to get SMS provider")


class PhoneProviderDisabled(AuthProblem):
    """Phone numbers cannot be used here."""

    code = "phone_provider_disabled"
    status = 400


class AnonymousProviderDisabled(AuthProblem):
    """A sign-up with neither address nor number."""

    code = "anonymous_provider_disabled"
    status = 422

    def __init__(self) -> None:
        super().__init__("Anonymous sign-ins are disabled")


class UserAlreadyExists(AuthProblem):
    """The address is taken."""

    code = "user_already_exists"
    status = 422

    def __init__(self) -> None:
        super().__init__("User already registered")


class WeakPassword(AuthProblem):
    """The password breaks a rule; ``reasons`` are length or characters."""

    code = "weak_password"
    status = 422

    def __init__(self, message: str, reasons: Sequence[str]) -> None:
        super().__init__(message)
        self.reasons = tuple(reasons)


class SamePassword(AuthProblem):
    """The new password is the old one."""

    code = "same_password"
    status = 422

    def __init__(self) -> None:
        super().__init__("New password should be different from the old password.")


class CurrentPasswordInvalid(AuthProblem):
    """The password that was given as the present one is not."""

    code = "current_password_invalid"
    status = 400

    def __init__(self) -> None:
        super().__init__("Current password is incorrect")


class NoAuthorization(AuthProblem):
    """A route for users, and no bearer token."""

    code = "no_authorization"
    status = 401

    def __init__(self, message: str = "This endpoint requires a valid Bearer token") -> None:
        super().__init__(message)


class BadJwt(AuthProblem):
    """The bearer token does not hold, or names nobody."""

    code = "bad_jwt"
    status = 403


class MalformedSubject(AuthProblem):
    """The ``sub`` claim is no UUID."""

    code = "bad_jwt"
    status = 400

    def __init__(self) -> None:
        super().__init__("invalid claim: sub claim must be a UUID")


class NotAdmin(AuthProblem):
    """The token is not an administrator's."""

    code = "not_admin"
    status = 403

    def __init__(self) -> None:
        super().__init__("User not allowed")


class UnknownBearer(AuthProblem):
    """The user of the token is gone."""

    code = "user_not_found"
    status = 403

    def __init__(self) -> None:
        super().__init__("User from sub claim in JWT does not exist")


class EndedSession(AuthProblem):
    """The session of the token is gone."""

    code = "session_not_found"
    status = 403

    def __init__(self) -> None:
        super().__init__("Session from session_id claim in JWT does not exist")


class NoSuchSession(AuthProblem):
    """No session of the user's own has this id."""

    code = "session_not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__("Session not found")


class MalformedSessionId(AuthProblem):
    """The id in the path is no UUID."""

    code = "validation_failed"
    status = 404

    def __init__(self) -> None:
        super().__init__("session_id must be an UUID")


class RefreshTokenRequired(AuthProblem):
    """Answered in OAuth's shape, as GoTrue does for this one."""

    code = "invalid_request"
    status = 400

    def __init__(self) -> None:
        super().__init__("refresh_token required")


class RefreshTokenNotFound(AuthProblem):
    """Nobody was ever given this refresh token, or its session is gone."""

    code = "refresh_token_not_found"
    status = 400

    def __init__(self) -> None:
        super().__init__("Invalid Refresh Token: Refresh Token Not Found")


class RefreshTokenAlreadyUsed(AuthProblem):
    """The refresh token was used before, and not just now."""

    code = "refresh_token_already_used"
    status = 400

    def __init__(self) -> None:
        super().__init__("Invalid Refresh Token: Already Used")


class SessionExpired(AuthProblem):
    """The session passed its time-box or was idle for too long."""

    code = "session_expired"
    status = 400

    def __init__(self, message: str = "Invalid Refresh Token: Session Expired") -> None:
        super().__init__(message)


class SavingRefused(AuthProblem):
    """The database refused the row: a trigger or constraint of the project's own raised."""

    code = "unexpected_failure"
    status = 422
    hint = "A trigger or constraint on auth.users refused the user; details has its message."


class LegacyKeyRefused(InvalidCredential):
    """The anon and service_role keys that are JWTs of the shared secret are switched off."""

    code = "legacy_key_refused"
    wire_code: ClassVar[str] = "legacy_key_refused"
    """The data API says it too: its own code for a bad token would hide why."""
    hint = "Use a publishable or secret API key (monohull keys create), or set MONOHULL_JWT_LEGACY_KEYS=true."

    def __init__(self) -> None:
        super().__init__("Legacy API keys are switched off", reason="legacy")
