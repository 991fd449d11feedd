"""What waits in the queue → `Draft`.

Nothing that waits may stop the chain: what cannot be read is written down as
it is, under an action of its own.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from modules.audit.entries import Draft
from modules.audit.secrets import without_secrets
from monohull.kernel.origin import Origin
from monohull.kernel.trace import trace_id_of

if TYPE_CHECKING:
    from collections.abc import Mapping

NULL: Final = msgspec.Raw(b"null")
UNREADABLE: Final = "audit.unreadable"
MAX_TEXT_BYTES: Final = 1000
"""Bytes of an id or a name that are kept: an index takes no more than 2,700 of all columns together."""

MAX_NAME_BYTES: Final = 300
"""Bytes of what an entry is about or says that happened, which stand in one index with two ids."""

_KINDS: Final = {"key": "api_key", "kid": "signing_key", "identifier": "provider"}
"""What things are called whose id has a short name."""
_BEFORE: Final = ("old_", "previous_")


class QueuedEvent(Struct, frozen=True):
    """A row of the outbox, as the queue has it."""

    name: str
    key: str | None = None
    actor: str | None = None
    request_id: str | None = None
    traceparent: str | None = None
    payload: msgspec.Raw = NULL
    origin: Origin | None = None


class RequestOrigin(Origin, frozen=True, kw_only=True):
    """Where a change of the data API came from, as it told the transaction."""

    request_id: str | None = None
    traceparent: str | None = None


class QueuedRow(Struct, frozen=True):
    """The change of a row, as the trigger wrote it."""

    action: str
    relation: str
    key: str | None = None
    login: str | None = None
    role: str | None = None
    subject: str | None = None
    origin: str | None = None
    before: msgspec.Raw = NULL
    after: msgspec.Raw = NULL


def draft_of(queued: Mapping[str, Any]) -> Draft:
    """Return the draft of a row of ``monohull.audit_queue``."""
    content: str = queued["content"]
    read = _of_event if queued["source"] == "event" else _of_row
    try:
        known = read(content)
    except (msgspec.DecodeError, UnicodeError):
        known = {"action": UNREADABLE, "actor_kind": "system", "after": content}
    return Draft(id=queued["id"], occurred_at=queued["occurred_at"], **known)


def _of_event(content: str) -> dict[str, Any]:
    event = msgspec.json.decode(content, type=QueuedEvent)
    payload = without_secrets(msgspec.json.decode(event.payload))
    came_from = event.origin or Origin(subject=event.actor)
    kind, object_id = _object(event, payload)
    before, after = _sides(payload)
    return {
        "action": _text(event.name, MAX_NAME_BYTES) or UNREADABLE,
        "actor_kind": came_from.kind,
        "actor_id": _text(came_from.subject or event.actor or came_from.key_id),
        "actor_role": _text(came_from.role),
        "key_id": _text(came_from.key_id),
        "address": _text(came_from.address) or _address_in(payload),
        "user_agent": _text(came_from.user_agent),
        "object_kind": _text(kind, MAX_NAME_BYTES),
        "object_id": object_id,
        "before": _json(before),
        "after": _json(after),
        "request_id": _text(event.request_id),
        "trace_id": trace_id_of(event.traceparent),
    }


def _object(event: QueuedEvent, payload: Any) -> tuple[str | None, str | None]:
    """Return what an event is about: the first id in it, else what it was published for."""
    for name, value in payload.items() if isinstance(payload, dict) else ():
        if isinstance(value, str) and (name.endswith("_id") or name in _KINDS):
            kind = name.removesuffix("_id")
            return _KINDS.get(kind, kind), _text(value)
    if event.key is None:
        return None, None
    return event.name.partition(".")[0], _text(event.key)


def _sides(payload: Any) -> tuple[Any, Any]:
    """Part what was from what is: ``old_email`` stands in the first as ``email``, all else in the second."""
    if not isinstance(payload, dict):
        return None, payload
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for name, value in payload.items():
        prefix = next((prefix for prefix in _BEFORE if name.startswith(prefix)), None)
        if prefix is None:
            after[name] = value
        else:
            before[name.removeprefix(prefix)] = value
    return before or None, after or None


def _of_row(content: str) -> dict[str, Any]:
    row = msgspec.json.decode(content, type=QueuedRow)
    asked = _request_of(row.origin)
    came_from = asked or RequestOrigin(
        kind="database" if row.subject is None else "user", subject=row.subject or row.login
    )
    return {
        "action": _text(row.action, MAX_NAME_BYTES) or UNREADABLE,
        "actor_kind": came_from.kind,
        "actor_id": _text(row.subject or came_from.subject or came_from.key_id),
        "actor_role": _text(row.role),
        "key_id": _text(came_from.key_id),
        "login": _text(row.login),
        "address": _text(came_from.address),
        "user_agent": _text(came_from.user_agent),
        "object_kind": _text(row.relation, MAX_NAME_BYTES),
        "object_id": _text(row.key),
        "before": _raw(row.before),
        "after": _raw(row.after),
        "request_id": _text(came_from.request_id),
        "trace_id": trace_id_of(came_from.traceparent),
    }


def _request_of(text: str | None) -> RequestOrigin | None:
    """Return the request that changed a row; None for direct SQL, and for what somebody made up there."""
    try:
        return None if text is None else msgspec.json.decode(text, type=RequestOrigin)
    except msgspec.DecodeError:
        return None


def _address_in(payload: Any) -> str | None:
    """Return the address that an event names, where it is one of the network and not a mailbox."""
    value = payload.get("address") if isinstance(payload, dict) else None
    try:
        return str(ipaddress.ip_address(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def _text(value: str | None, most_bytes: int = MAX_TEXT_BYTES) -> str | None:
    """Return what PostgreSQL takes and an index can hold."""
    if value is None:
        return None
    encoded = value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode()
    return encoded[:most_bytes].decode(errors="ignore")


def _raw(json: msgspec.Raw) -> str | None:
    """Return JSON as it is, so that a number of thirty digits keeps them."""
    text = bytes(json).decode()
    return None if text == "null" else text


def _json(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
