"""What auth tells the rest of the product."""

from __future__ import annotations

from typing import ClassVar

from monohull.kernel.counted import CountedEvent
from monohull.kernel.events import Event


class UserSignedUp(Event, frozen=True):
    """A user exists that did not; ``provider`` is how."""

    name: ClassVar[str] = "auth.user_signed_up"

    user_id: str
    email: str | None
    provider: str


class UserSignedIn(Event, frozen=True):
    """A session was opened by ``method`` (an ``amr`` method)."""

    name: ClassVar[str] = "auth.user_signed_in"

    user_id: str
    session_id: str
    method: str
    address: str | None = None


class SignInFailed(CountedEvent, frozen=True, kw_only=True):
    """A wrong password, code or second factor, by ``method``; the user is null where there is none."""

    name: ClassVar[str] = "auth.sign_in_failed"

    user_id: str | None = None
    method: str | None = None


class SignInRefused(CountedEvent, frozen=True, kw_only=True):
    """Nothing was compared: too many attempts by ``method`` were wrong before this one."""

    name: ClassVar[str] = "auth.sign_in_refused"

    user_id: str | None = None
    method: str | None = None


class TokenRefreshed(Event, frozen=True):
    """A session got a new access token."""

    name: ClassVar[str] = "auth.token_refreshed"
    is_audited: ClassVar[bool] = False

    user_id: str
    session_id: str


class TokenReuseDetected(Event, frozen=True):
    """A refresh token was used again long after its successor: one of two holders is a thief."""

    name: ClassVar[str] = "auth.token_reuse_detected"

    user_id: str
    session_id: str
    address: str | None = None


class UserSignedOut(Event, frozen=True):
    """Sessions ended; ``scope`` is global, local, others or session."""

    name: ClassVar[str] = "auth.user_signed_out"

    user_id: str
    scope: str
    sessions: int


class UserUpdated(Event, frozen=True):
    """A user changed something of their own; ``changed`` names it."""

    name: ClassVar[str] = "auth.user_updated"

    user_id: str
    changed: tuple[str, ...]


class SigningKeysRotated(Event, frozen=True):
    """Another key signs access tokens from now on; both name it by ``kid``."""

    name: ClassVar[str] = "auth.signing_keys_rotated"

    current: str
    previous: str | None


class SigningKeyRetired(Event, frozen=True):
    """A key verifies no more."""

    name: ClassVar[str] = "auth.signing_key_retired"

    kid: str


class EmailConfirmed(Event, frozen=True):
    """Somebody proved that an address is theirs."""

    name: ClassVar[str] = "auth.email_confirmed"

    user_id: str
    email: str


class PhoneConfirmed(Event, frozen=True):
    """Somebody proved that a number is theirs."""

    name: ClassVar[str] = "auth.phone_confirmed"

    user_id: str
    phone: str


class ConfirmationRequested(Event, frozen=True):
    """A mail or a message asks to confirm a sign-up; ``address`` is where it went."""

    name: ClassVar[str] = "auth.confirmation_requested"

    user_id: str
    address: str


class SignUpRepeated(Event, frozen=True):
    """Somebody signed up with the address of a user who exists."""

    name: ClassVar[str] = "auth.sign_up_repeated"

    user_id: str


class SignInLinkRequested(Event, frozen=True):
    """A link or a code to sign in with was asked for."""

    name: ClassVar[str] = "auth.sign_in_link_requested"

    user_id: str
    address: str


class PasswordRecoveryRequested(Event, frozen=True):
    """A link to set a new password was asked for."""

    name: ClassVar[str] = "auth.password_recovery_requested"

    user_id: str


class ReauthenticationRequested(Event, frozen=True):
    """A nonce was asked for."""

    name: ClassVar[str] = "auth.reauthentication_requested"

    user_id: str


class PasswordChanged(Event, frozen=True):
    """A user has a new password; the other sessions ended."""

    name: ClassVar[str] = "auth.password_changed"

    user_id: str


class EmailChangeRequested(Event, frozen=True):
    """A user wants another address and has still to confirm it."""

    name: ClassVar[str] = "auth.email_change_requested"

    user_id: str
    new_email: str


class EmailChanged(Event, frozen=True):
    """A user has another address."""

    name: ClassVar[str] = "auth.email_changed"

    user_id: str
    old_email: str | None
    email: str


class PhoneChangeRequested(Event, frozen=True):
    """A user wants another number and has still to confirm it."""

    name: ClassVar[str] = "auth.phone_change_requested"

    user_id: str
    new_phone: str


class PhoneChanged(Event, frozen=True):
    """A user has another number."""

    name: ClassVar[str] = "auth.phone_changed"

    user_id: str
    old_phone: str | None
    phone: str


class UserConverted(Event, frozen=True):
    """An anonymous user became a permanent one."""

    name: ClassVar[str] = "auth.user_converted"

    user_id: str


class UserInvited(Event, frozen=True):
    """An administrator invited somebody."""

    name: ClassVar[str] = "auth.user_invited"

    user_id: str
    email: str


class InvitationAccepted(Event, frozen=True):
    """Somebody followed an invitation."""

    name: ClassVar[str] = "auth.invitation_accepted"

    user_id: str


class IdentityLinked(Event, frozen=True):
    """A user can be recognised by ``provider`` from now on."""

    name: ClassVar[str] = "auth.identity_linked"

    user_id: str
    provider: str


class IdentityUnlinked(Event, frozen=True):
    """A user is recognised by one identity of ``provider`` less."""

    name: ClassVar[str] = "auth.identity_unlinked"

    user_id: str
    provider: str


class CustomProviderChanged(Event, frozen=True):
    """An administrator made, changed or deleted a provider; ``change`` says which."""

    name: ClassVar[str] = "auth.custom_provider_changed"

    identifier: str
    change: str


class UserModified(Event, frozen=True):
    """An administrator changed a user; ``changed`` names what."""

    name: ClassVar[str] = "auth.user_modified"

    user_id: str
    changed: tuple[str, ...]


class UserBanned(Event, frozen=True):
    """A user may not sign in before ``until`` (RFC 3339)."""

    name: ClassVar[str] = "auth.user_banned"

    user_id: str
    until: str


class UserUnbanned(Event, frozen=True):
    """A user may sign in again."""

    name: ClassVar[str] = "auth.user_unbanned"

    user_id: str


class UserDeleted(Event, frozen=True):
    """A user is gone; ``soft`` says that a row without personal data is left."""

    name: ClassVar[str] = "auth.user_deleted"

    user_id: str
    soft: bool


class UsersImported(Event, frozen=True):
    """Users came from another product; ``source`` is its kind, ``users`` how many in this transaction."""

    name: ClassVar[str] = "auth.users_imported"

    source: str
    users: int


FLOW_EVENTS: tuple[type[Event], ...] = (
    EmailConfirmed,
    PhoneConfirmed,
    ConfirmationRequested,
    SignUpRepeated,
    SignInLinkRequested,
    PasswordRecoveryRequested,
    ReauthenticationRequested,
    PasswordChanged,
    EmailChangeRequested,
    EmailChanged,
    PhoneChangeRequested,
    PhoneChanged,
    UserConverted,
    UserInvited,
    InvitationAccepted,
    IdentityLinked,
    IdentityUnlinked,
    CustomProviderChanged,
    UserModified,
    UserBanned,
    UserUnbanned,
    UserDeleted,
    UsersImported,
)
"""What happens between signing up and signing in, and by administrators."""
