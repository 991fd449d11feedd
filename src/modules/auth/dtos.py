"""Bodies of ``/auth/v1``; the field names are the wire's."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType


class Challenge(Struct, frozen=True):
    """What a call that starts a flow may carry so that the flow ends with a code (PKCE)."""

    code_challenge: str | None = None
    code_challenge_method: str | None = None


class SignupBody(Challenge, frozen=True, kw_only=True):
    """``POST /signup``."""

    email: str | None = None
    phone: str | None = None
    password: str | None = None
    data: dict[str, Any] | None = None
    channel: str | None = None


class OtpBody(Challenge, frozen=True, kw_only=True):
    """``POST /otp``, ``/magiclink`` and ``/recover``, each with the fields it knows."""

    email: str | None = None
    phone: str | None = None
    data: dict[str, Any] | None = None
    create_user: bool = True
    channel: str | None = None


class ResendBody(Challenge, frozen=True, kw_only=True):
    """``POST /resend``."""

    type: str | None = None
    email: str | None = None
    phone: str | None = None


class VerifyBody(Struct, frozen=True, kw_only=True):
    """``POST /verify``: a code and what it was sent to, or the token of a link."""

    type: str | None = None
    token: str | None = None
    token_hash: str | None = None
    email: str | None = None
    phone: str | None = None
    redirect_to: str | None = None


class PasswordGrant(Struct, frozen=True):
    """``POST /token?grant_type=password``."""

    email: str | None = None
    phone: str | None = None
    password: str | None = None


class PkceGrant(Struct, frozen=True):
    """``POST /token?grant_type=pkce``."""

    auth_code: str | None = None
    code_verifier: str | None = None


class IdTokenGrant(Struct, frozen=True, kw_only=True):
    """``POST /token?grant_type=id_token``."""

    provider: str | None = None
    id_token: str | None = None
    access_token: str | None = None
    nonce: str | None = None
    client_id: str | None = None
    issuer: str | None = None
    link_identity: bool = False


class Web3Grant(Struct, frozen=True):
    """``POST /token?grant_type=web3``. ``signature`` is base64url (Solana) or 0x and hexadecimal."""

    chain: str | None = None
    message: str | None = None
    signature: str | None = None


class RefreshGrant(Struct, frozen=True):
    """``POST /token?grant_type=refresh_token``."""

    refresh_token: str | None = None


class UpdateBody(Challenge, frozen=True, kw_only=True):
    """``PUT /user``."""

    email: str | None = None
    phone: str | None = None
    password: str | None = None
    current_password: str | None = None
    nonce: str | None = None
    channel: str | None = None
    data: dict[str, Any] | None = None
    app_metadata: dict[str, Any] | None = None


class AdminUser(Struct, frozen=True, kw_only=True):
    """``POST`` and ``PUT /admin/users``. ``ban_duration`` is 24h, 30m, … or none."""

    id: str | None = None
    email: str | None = None
    phone: str | None = None
    password: str | None = None
    password_hash: str | None = None
    email_confirm: bool = False
    phone_confirm: bool = False
    user_metadata: dict[str, Any] | None = None
    app_metadata: dict[str, Any] | None = None
    role: str | None = None
    ban_duration: str | None = None


class DeleteBody(Struct, frozen=True):
    """``DELETE /admin/users/{id}``."""

    should_soft_delete: bool = False


class InviteBody(Struct, frozen=True):
    """``POST /invite``."""

    email: str | None = None
    data: dict[str, Any] | None = None


class LinkBody(Struct, frozen=True, kw_only=True):
    """``POST /admin/generate_link``."""

    type: str | None = None
    email: str | None = None
    new_email: str | None = None
    password: str | None = None
    data: dict[str, Any] | None = None
    redirect_to: str | None = None


class IdentityView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``identity_id`` is the row, ``id`` the provider's subject."""

    identity_id: UUID
    id: str
    user_id: UUID
    identity_data: dict[str, Any]
    provider: str
    last_sign_in_at: datetime | None
    created_at: datetime | None
    updated_at: datetime | None
    email: str | None = None


class FactorView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A second factor; ``phone`` and ``last_challenged_at`` are null where there is none."""

    id: UUID
    created_at: datetime
    updated_at: datetime
    status: str
    friendly_name: str | None = None
    factor_type: str
    phone: str | None
    last_challenged_at: datetime | None
    web_authn_aaguid: UUID | None = None


class UserView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user as its owner sees it; fields with a default are left out when empty."""

    id: UUID
    aud: str
    role: str
    email: str
    email_confirmed_at: datetime | None = None
    invited_at: datetime | None = None
    phone: str
    phone_confirmed_at: datetime | None = None
    confirmation_sent_at: datetime | None = None
    confirmed_at: datetime | None = None
    recovery_sent_at: datetime | None = None
    new_email: str | None = None
    email_change_sent_at: datetime | None = None
    new_phone: str | None = None
    phone_change_sent_at: datetime | None = None
    reauthentication_sent_at: datetime | None = None
    last_sign_in_at: datetime | None = None
    app_metadata: dict[str, Any]
    user_metadata: dict[str, Any]
    factors: list[FactorView] | None = None
    identities: list[IdentityView]
    created_at: datetime | None
    updated_at: datetime | None
    banned_until: datetime | None = None
    deleted_at: datetime | None = None
    is_anonymous: bool


class SessionView(Struct, frozen=True, kw_only=True):
    """An access token and what renews it. ``expires_in`` in seconds, ``expires_at`` in unix time."""

    access_token: str
    token_type: str
    expires_in: int
    expires_at: int
    refresh_token: str
    user: UserView
    provider_token: str | UnsetType = UNSET
    provider_refresh_token: str | UnsetType = UNSET


class Halfway(Struct, frozen=True, kw_only=True):
    """``POST /verify`` when the other address has to confirm too."""

    msg: str
    code: str = "200"


class DeviceView(Struct, frozen=True, kw_only=True):
    """One of the caller's own sessions, for ``GET /sessions``."""

    id: UUID
    created_at: datetime
    refreshed_at: datetime | None
    last_used_at: datetime
    not_after: datetime | None
    aal: str
    ip: str | None
    user_agent: str | None
    is_current: bool


class CustomProviderBody(Struct, frozen=True, kw_only=True):
    """``POST`` and ``PUT /admin/custom-providers``; what is left out stays as it is."""

    provider_type: str | None = None
    identifier: str | None = None
    name: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    acceptable_client_ids: list[str] | None = None
    scopes: list[str] | None = None
    custom_claims_allowlist: list[str] | None = None
    pkce_enabled: bool | None = None
    attribute_mapping: dict[str, str] | None = None
    authorization_params: dict[str, str] | None = None
    enabled: bool | None = None
    email_optional: bool | None = None
    issuer: str | None = None
    discovery_url: str | None = None
    skip_nonce_check: bool | None = None
    authorization_url: str | None = None
    token_url: str | None = None
    userinfo_url: str | None = None
    jwks_uri: str | None = None
