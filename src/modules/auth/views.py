"""Rows → what the wire shows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from modules.auth.dtos import DeviceView, FactorView, IdentityView, UserView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.auth.models import Factor, Identity, Session, User

V = TypeVar("V")


def view_user(user: User, identities: Sequence[Identity], factors: Sequence[Factor] = ()) -> UserView:
    """Show a user; empty fields are left out as GoTrue does."""
    return UserView(
        id=user.id,
        aud=user.aud or "",
        role=user.role or "",
        email=user.email or "",
        email_confirmed_at=user.email_confirmed_at,
        invited_at=user.invited_at,
        phone=user.phone or "",
        phone_confirmed_at=user.phone_confirmed_at,
        confirmation_sent_at=user.confirmation_sent_at,
        confirmed_at=_earliest(user.email_confirmed_at, user.phone_confirmed_at),
        recovery_sent_at=user.recovery_sent_at,
        new_email=user.email_change or None,
        email_change_sent_at=user.email_change_sent_at,
        new_phone=user.phone_change or None,
        phone_change_sent_at=user.phone_change_sent_at,
        reauthentication_sent_at=user.reauthentication_sent_at,
        last_sign_in_at=user.last_sign_in_at,
        app_metadata=user.raw_app_meta_data or {},
        user_metadata=user.raw_user_meta_data or {},
        factors=[view_factor(factor) for factor in factors] or None,
        identities=[view_identity(identity) for identity in identities],
        created_at=user.created_at,
        updated_at=user.updated_at,
        banned_until=user.banned_until,
        deleted_at=user.deleted_at,
        is_anonymous=user.is_anonymous,
    )


def view_factor(factor: Factor) -> FactorView:
    """Show a second factor; never its secret."""
    return FactorView(
        id=factor.id,
        created_at=factor.created_at,
        updated_at=factor.updated_at,
        status=factor.status,
        friendly_name=factor.friendly_name or None,
        factor_type=factor.factor_type,
        phone=factor.phone,
        last_challenged_at=factor.last_challenged_at,
        web_authn_aaguid=factor.web_authn_aaguid,
    )


def view_identity(identity: Identity) -> IdentityView:
    """Show one way of recognising a user."""
    email = identity.identity_data.get("email")
    return IdentityView(
        identity_id=identity.id,
        id=identity.provider_id,
        user_id=identity.user_id,
        identity_data=identity.identity_data,
        provider=identity.provider,
        last_sign_in_at=identity.last_sign_in_at,
        created_at=identity.created_at,
        updated_at=identity.updated_at,
        email=email.lower() if isinstance(email, str) else None,
    )


def view_device(session: Session, *, is_current: bool) -> DeviceView:
    """Show a session to its owner; ``is_current`` marks the one that asks."""
    return DeviceView(
        id=session.id,
        created_at=session.created_at,
        refreshed_at=session.refreshed_at,
        last_used_at=session.refreshed_at or session.created_at,
        not_after=session.not_after,
        aal=session.aal,
        ip=str(session.ip) if session.ip is not None else None,
        user_agent=session.user_agent,
        is_current=is_current,
    )


def _earliest(*times: V | None) -> V | None:
    """Compute the generated column ourselves: after an insert it is not loaded yet."""
    return min((time for time in times if time is not None), default=None)  # type: ignore[type-var]
