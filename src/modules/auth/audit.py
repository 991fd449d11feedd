"""The audit log of auth: every event about users becomes a row of ``auth.audit_log_entries``.

Rows are written by the worker from the outbox, so that nothing is logged that
was rolled back and nothing that was committed is missing. Refreshed tokens are
left out: each session has one an hour, and they tell nothing.

Source of the names: supabase/auth, ``internal/models/audit_log_entry.go``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Text, cast, func, select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from modules.auth import events
from modules.auth.factors.events import ACTIONS as FACTOR_ACTIONS
from modules.auth.models import AuditEntry, User
from modules.auth.oauth_events import OAUTH_ACTIONS
from modules.auth.passkeys.events import ACTIONS as PASSKEY_ACTIONS
from modules.auth.sso_events import SSO_ACTIONS
from monohull.kernel.events import Envelope, Event, Subscriber

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monohull.kernel.database.engine import Database
    from monohull.kernel.pagination import Page

ACTIONS: Final[dict[type[Event], tuple[str, str]]] = {
    events.UserSignedUp: ("user_signedup", "team"),
    events.UserSignedIn: ("login", "account"),
    events.UserSignedOut: ("logout", "account"),
    events.TokenReuseDetected: ("token_revoked", "token"),
    events.UserUpdated: ("user_modified", "user"),
    events.EmailConfirmed: ("user_confirmed", "user"),
    events.PhoneConfirmed: ("user_confirmed", "user"),
    events.ConfirmationRequested: ("user_confirmation_requested", "user"),
    events.SignUpRepeated: ("user_repeated_signup", "user"),
    events.SignInLinkRequested: ("user_recovery_requested", "user"),
    events.PasswordRecoveryRequested: ("user_recovery_requested", "user"),
    events.ReauthenticationRequested: ("user_reauthenticate_requested", "user"),
    events.PasswordChanged: ("user_updated_password", "user"),
    events.EmailChangeRequested: ("email_change_requested", "user"),
    events.EmailChanged: ("email_changed", "user"),
    events.PhoneChangeRequested: ("phone_change_requested", "user"),
    events.PhoneChanged: ("phone_changed", "user"),
    events.UserConverted: ("user_converted", "user"),
    events.UserInvited: ("user_invited", "team"),
    events.InvitationAccepted: ("invite_accepted", "account"),
    events.IdentityLinked: ("identity_linked", "user"),
    events.IdentityUnlinked: ("identity_unlinked", "user"),
    events.CustomProviderChanged: ("custom_provider_changed", "provider"),
    events.UserModified: ("user_modified", "user"),
    events.UserBanned: ("user_banned", "user"),
    events.UserUnbanned: ("user_unbanned", "user"),
    events.UserDeleted: ("user_deleted", "team"),
    events.UsersImported: ("users_imported", "team"),
    **FACTOR_ACTIONS,
    **PASSKEY_ACTIONS,
    **OAUTH_ACTIONS,
    **SSO_ACTIONS,
}
"""GoTrue's name and kind of what happened; where it has none, ours in its manner."""

_NAMED: Final = {event.name: action for event, action in ACTIONS.items()}
_OWN: Final = frozenset({"user_id", "address"})


async def write_entry(runtime: Any, envelope: Envelope) -> None:
    """Write the entry of one event, once."""
    payload: dict[str, Any] = msgspec.json.decode(envelope.payload)
    action, kind = _NAMED[envelope.name]
    user_id = payload.get("user_id")
    database: Database = runtime.database
    async with database.unit_of_work() as work:
        user = await work.get(User, UUID(user_id)) if user_id else None
        entry = {
            "action": action,
            "actor_id": envelope.actor or user_id or "",
            "actor_username": (user.email or user.phone or "") if user is not None else "",
            "actor_via_sso": user.is_sso_user if user is not None else False,
            "log_type": kind,
            "traits": {"user_id": user_id} | {k: v for k, v in payload.items() if k not in _OWN},
        }
        await work.execute(
            insert(AuditEntry)
            .values(
                id=envelope.id,
                payload=entry,
                created_at=envelope.occurred_at,
                ip_address=payload.get("address") or "",
            )
            .on_conflict_do_nothing(index_elements=[AuditEntry.id])
        )


SUBSCRIBER: Final = Subscriber(name="auth.audit", events=tuple(_NAMED), handle=write_entry)


async def list_entries(
    database: Database, page: Page, matching: str | None
) -> tuple[Sequence[dict[str, Any]], int]:
    """Return a page of the log, newest first, and how many entries there are.

    Args:
        database: Where they are.
        page: Which of them.
        matching: ``field:text`` with the fields action, author and type, or text anywhere.
    """
    name, separator, text = (matching or "").partition(":")
    key = {"action": "action", "author": "actor_username", "type": "log_type"}.get(name)
    conditions: list[Any] = []
    if separator and key is not None:
        conditions.append(AuditEntry.payload[key].as_string().icontains(text, autoescape=True))
    elif matching:
        conditions.append(cast(AuditEntry.payload, Text).icontains(matching, autoescape=True))
    counted = select(func.count().label("total")).select_from(AuditEntry).where(*conditions).subquery()
    newest = (AuditEntry.created_at.desc(), AuditEntry.id.desc())
    paged = select(AuditEntry).where(*conditions).order_by(*newest).limit(page.limit).offset(page.offset)
    entry = aliased(AuditEntry, paged.subquery())
    async with database.unit_of_work() as work:
        # one statement, so that the count is that of the entries that are shown
        found = await work.execute(
            select(counted.c.total, entry)
            .select_from(counted)
            .outerjoin(entry, true())
            .order_by(entry.created_at.desc(), entry.id.desc())
        )
        shown = found.all()
    rows = [row for _, row in shown if row is not None]
    return [
        {
            "id": str(row.id),
            "payload": row.payload,
            "created_at": row.created_at,
            "ip_address": row.ip_address,
        }
        for row in rows
    ], shown[0][0]
