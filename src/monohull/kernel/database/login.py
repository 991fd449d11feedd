"""Which role data requests log in as: ``authenticator`` where it works, else the owner.

``authenticator`` owns nothing and inherits nothing, so a request that lost its
role could do nothing. An external server may not let us create it, or may not
let us give ``service_role`` the right to bypass row security; then the owner
logs in and switches roles from there, and a request of ``service_role`` runs
as the owner, whom row security on its own tables does not bind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from monohull.kernel.database.frames import PostgresError
from monohull.kernel.database.statements import Settings, Statement
from monohull.kernel.database.wire import Wire

SERVICE_ROLE: Final = "service_role"

Dial: TypeAlias = Callable[[str], Awaitable[Wire]]

_MEMBERSHIP: Final = Statement(
    "select session_user,"
    " count(*) filter (where pg_has_role(session_user, r.oid, 'MEMBER')),"
    " coalesce(bool_or((r.rolbypassrls or r.rolsuper) and pg_has_role(session_user, r.oid, 'MEMBER'))"
    " filter (where r.rolname = 'service_role'), false)"
    " from pg_catalog.pg_roles r where r.rolname in ('anon', 'authenticated', 'service_role')"
)
_API_ROLES: Final = b"3"
_REFUSED_LOGIN: Final = ("28", "3D", "42")
"""Classes of SQLSTATE: wrong password or no such role, no such database, no right to connect to it."""


class Login(Struct, frozen=True):
    """A login that was tried and works.

    Attributes:
        kind: Whose it is.
        url: Its address, password and all.
        service_role_as: The role that stands in for ``service_role``, or None when that role does itself.
        reason: Why it is not ``authenticator``, or None.
    """

    kind: Literal["authenticator", "owner"]
    url: str
    service_role_as: str | None = None
    reason: str | None = None

    def __repr__(self) -> str:
        return f"Login({self.kind})"

    def effective_role(self, role: str) -> str:
        """Return the role that a request of ``role`` runs as."""
        return self.service_role_as if role == SERVICE_ROLE and self.service_role_as else role

    def effective_settings(self, settings: Settings) -> Settings:
        """Return ``settings`` with the role replaced where another one stands in for it."""
        if self.service_role_as is None:
            return settings
        return [(name, self.effective_role(value) if name == "role" else value) for name, value in settings]


async def choose_login(data_url: str, owner_url: str | None, dial: Dial) -> tuple[Login, Wire]:
    """Log in as one of both; return which, and the connection.

    Raises:
        ConnectionLost: The server does not answer.
        PostgresError: It refuses both logins; the owner's refusal.
    """
    try:
        wire = await dial(data_url)
    except PostgresError as error:
        if owner_url is None or error.sqlstate[:2] not in _REFUSED_LOGIN:
            raise
        reason = f"the server refuses the login authenticator ({error})"
    else:
        _, roles, bypasses = await _membership(wire)
        missing = _missing(roles, bypasses)
        if owner_url is None or missing is None:
            return Login("authenticator", data_url), wire
        wire.close()
        reason = missing
    wire = await dial(owner_url)
    owner, _, bypasses = await _membership(wire)
    return Login("owner", owner_url, None if bypasses else owner, reason), wire


async def _membership(wire: Wire) -> tuple[str, bytes, bool]:
    """Ask who logged in, of how many API roles it is a member, and whether service_role is unbound."""
    [rows] = await wire.exchange([_MEMBERSHIP])
    user, roles, bypasses = rows.rows[0]
    assert user is not None
    assert roles is not None
    return user.decode(), roles, bypasses == b"t"


def _missing(roles: bytes, bypasses: bool) -> str | None:
    if roles != _API_ROLES:
        return "authenticator is not a member of anon, authenticated and service_role"
    return None if bypasses else "service_role does not bypass row security"
