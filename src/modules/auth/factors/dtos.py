"""Bodies of ``/auth/v1/factors``; the field names are the wire's."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Struct


class EnrollBody(Struct, frozen=True, kw_only=True):
    """``POST /factors``."""

    factor_type: str | None = None
    friendly_name: str | None = None
    issuer: str | None = None
    phone: str | None = None


class ChallengeBody(Struct, frozen=True, kw_only=True):
    """``POST /factors/{id}/challenge``; for which site a key signs is not the body's to say."""

    channel: str | None = None
    webauthn: dict[str, Any] | None = None


class WebAuthnAnswer(Struct, frozen=True, kw_only=True):
    """What an authenticator answered, as the browser gives it: ``type`` is create or request."""

    type: str | None = None
    credential_response: dict[str, Any] | None = None


class VerifyFactorBody(Struct, frozen=True, kw_only=True):
    """``POST /factors/{id}/verify``."""

    challenge_id: UUID | None = None
    code: str | None = None
    webauthn: WebAuthnAnswer | None = None


class FactorPatch(Struct, frozen=True, kw_only=True):
    """``PUT /admin/users/{id}/factors/{factor_id}``."""

    friendly_name: str | None = None
    phone: str | None = None


class TotpView(Struct, frozen=True):
    """What an app needs; told once."""

    qr_code: str
    secret: str
    uri: str


class EnrolledView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A factor that waits for its first code."""

    id: UUID
    type: str
    friendly_name: str
    totp: TotpView | None = None
    phone: str | None = None


class ChallengeView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A challenge that waits for its answer; ``expires_at`` in unix time."""

    id: UUID
    type: str
    expires_at: int
    webauthn: dict[str, Any] | None = None


class RecoveryCodeBody(Struct, frozen=True):
    """``POST /factors/recovery-codes/verify``."""

    code: str | None = None


class RecoveryCodesView(Struct, frozen=True, kw_only=True):
    """New recovery codes; told once."""

    id: UUID
    type: str = "recovery_code"
    friendly_name: str = "Recovery codes"
    total: int
    codes: list[str]


class RecoveryCodesStatus(Struct, frozen=True, kw_only=True):
    """How many recovery codes there are, and how many were not used yet."""

    id: UUID
    type: str = "recovery_code"
    total: int
    remaining: int
