"""What keys and roles may do with users."""

from __future__ import annotations

from typing import Final

from monohull.kernel.permissions import Permission

MANAGE_USERS: Final = Permission(
    "auth.users:manage", "Read, create, change, invite and delete users, and end their sessions."
)
INTROSPECT_TOKENS: Final = Permission(
    "auth.tokens:introspect", "Look at what anybody's token is worth (RFC 7662)."
)
READ_MAILBOX: Final = Permission("auth.mailbox:read", "Read the messages that development keeps.")

PERMISSIONS: Final = (MANAGE_USERS, INTROSPECT_TOKENS, READ_MAILBOX)
