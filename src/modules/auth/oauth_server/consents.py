"""What a user allows applications: listed, taken back, and used for ``/oauth/userinfo``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from modules.auth.errors import ValidationFailed
from modules.auth.oauth_errors import ConsentNotFound
from modules.auth.oauth_events import OauthGrantRevoked
from modules.auth.oauth_server.authorizations import view_application
from modules.auth.oauth_server.client_rules import SCOPES, split_scope
from modules.auth.oauth_server.dtos import GrantView
from modules.auth.oauth_server.id_tokens import identity_claims
from modules.auth.oauth_server.repository import ConsentRepository, end_sessions
from modules.auth.services.account import bearer_of
from monohull.kernel import clock, outbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal


class Consents:
    """The caller's own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_of(self, principal: Principal) -> Sequence[GrantView]:
        """Return what the caller allows, latest first."""
        async with self._database.unit_of_work() as work:
            user = (await bearer_of(work, principal)).user
            return [
                GrantView(
                    client=view_application(client),
                    scopes=split_scope(consent.scopes),
                    granted_at=consent.granted_at,
                )
                for consent, client in await ConsentRepository(work).list_of(user.id)
            ]

    async def revoke(self, principal: Principal, client_id: str | None) -> None:
        """Allow the application nothing any more; its sessions with the caller end.

        Raises:
            ValidationFailed: 400, no id. ConsentNotFound: 404.
        """
        try:
            parsed = UUID(client_id or "")
        except ValueError:
            raise ValidationFailed("client_id is required and must be an UUID") from None
        async with self._database.unit_of_work() as work:
            user = (await bearer_of(work, principal)).user
            consent = await ConsentRepository(work).find_active(user.id, parsed)
            if consent is None:
                raise ConsentNotFound
            consent.revoked_at = max(clock.now(), consent.granted_at)
            ended = await end_sessions(work, parsed, user.id)
            event = OauthGrantRevoked(user_id=str(user.id), client_id=str(parsed), sessions=ended)
            await outbox.publish(work, event, key=str(user.id))

    async def user_info(self, principal: Principal) -> dict[str, Any]:
        """Return what the caller's token may know of its user; a token of the user's own knows it all."""
        async with self._database.unit_of_work() as work:
            user = (await bearer_of(work, principal)).user
        scope = principal.claims.get("scope")
        is_delegated = "client_id" in principal.claims
        scopes = split_scope(scope if isinstance(scope, str) else "") if is_delegated else SCOPES
        return identity_claims(user, scopes)
