"""Refusals of flows that send something and wait for an answer, and of administrators' calls.

Source: supabase/auth, ``internal/api/apierrors/errorcode.go`` and the calls that raise them.
"""

from __future__ import annotations

from modules.auth.errors import AuthProblem


class OtpDisabled(AuthProblem):
    """``create_user`` is false and nobody has this address."""

    code = "otp_disabled"
    status = 422

    def __init__(self) -> None:
        super().__init__("Signups not allowed for otp")


class OtpExpired(AuthProblem):
    """The code or the link is wrong, was used, or came too late: never says which."""

    code = "otp_expired"
    status = 403

    def __init__(self, message: str = "Token has expired or is invalid") -> None:
        super().__init__(message)


class EmailExists(AuthProblem):
    """The address is somebody's."""

    code = "email_exists"
    status = 422

    def __init__(self) -> None:
        super().__init__("A user with this email address has already been registered")


class PhoneExists(AuthProblem):
    """The number is somebody's."""

    code = "phone_exists"
    status = 422

    def __init__(self, message: str = "A user with this phone number has already been registered") -> None:
        super().__init__(message)


class EmailAddressInvalid(AuthProblem):
    """The address is of a domain that nobody may sign up with here."""

    code = "email_address_invalid"
    status = 400

    def __init__(self, email: str) -> None:
        super().__init__(f'Email address "{email}" is invalid')


class EmailAddressNotAuthorized(AuthProblem):
    """The settings name whom mails may be sent to, and it is not among them."""

    code = "email_address_not_authorized"
    status = 400

    def __init__(self, email: str) -> None:
        super().__init__(f'Email address "{email}" cannot be used as it is not authorized')


class TooManyMails(AuthProblem):
    """An address or a client caused too many mails."""

    code = "over_email_send_rate_limit"
    status = 429


class TooManyTexts(AuthProblem):
    """A number or a client caused too many text messages."""

    code = "over_sms_send_rate_limit"
    status = 429


class FlowStateNotFound(AuthProblem):
    """Nobody was given this code, or it was used."""

    code = "flow_state_not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__("invalid flow state, no valid flow state found")


class FlowStateExpired(AuthProblem):
    """The code came too late."""

    code = "flow_state_expired"
    status = 422

    def __init__(self) -> None:
        super().__init__("invalid flow state, flow state has expired")


class BadCodeVerifier(AuthProblem):
    """The verifier does not fit the challenge that began the flow."""

    code = "bad_code_verifier"
    status = 400

    def __init__(self) -> None:
        super().__init__("code challenge does not match previously saved code verifier")


class ReauthenticationNeeded(AuthProblem):
    """The session is too old for a new password without a nonce."""

    code = "reauthentication_needed"
    status = 400

    def __init__(self) -> None:
        super().__init__("Password update requires reauthentication")


class ReauthenticationNotValid(AuthProblem):
    """The nonce is wrong, was used, or came too late."""

    code = "reauthentication_not_valid"
    status = 422

    def __init__(self) -> None:
        super().__init__("Nonce has expired or is invalid")


class CurrentPasswordRequired(AuthProblem):
    """A new password takes the present one."""

    code = "current_password_required"
    status = 400

    def __init__(self) -> None:
        super().__init__("Current password required when setting new password.")


class InsufficientAal(AuthProblem):
    """The user has a second factor, and this session was opened without it."""

    code = "insufficient_aal"
    status = 401

    def __init__(self) -> None:
        super().__init__("AAL2 session is required to update email or password when MFA is enabled.")


class UserSsoManaged(AuthProblem):
    """The organisation keeps this user's address and password."""

    code = "user_sso_managed"
    status = 422

    def __init__(self) -> None:
        super().__init__("Cannot update a user that is managed by single sign-on")


class UserNotFound(AuthProblem):
    """No user has this id or address; only administrators hear that."""

    code = "user_not_found"
    status = 404

    def __init__(self, message: str = "User not found") -> None:
        super().__init__(message)


class MalformedUserId(AuthProblem):
    """The id in the path is no UUID."""

    code = "validation_failed"
    status = 404

    def __init__(self) -> None:
        super().__init__("user_id must be an UUID")
