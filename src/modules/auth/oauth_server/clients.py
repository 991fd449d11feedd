"""Applications: made by administrators, or by themselves where that is allowed; changed, ended.

A secret is shown once and stored as a hash. It has 256 random bits, so nobody
guesses it and a fast hash is enough.

Source: supabase/auth, ``internal/api/oauthserver/handlers.go`` and ``service.go``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import UNSET, structs

from modules.auth.errors import ValidationFailed
from modules.auth.models import OauthClient
from modules.auth.oauth_errors import (
    DynamicRegistrationDisabled,
    InvalidClientMetadata,
    InvalidRedirectUri,
    OauthClientNotFound,
)
from modules.auth.oauth_events import OauthClientDeleted, OauthClientModified, OauthClientRegistered
from modules.auth.oauth_server import client_rules as rules
from modules.auth.oauth_server.dtos import ClientView
from modules.auth.oauth_server.repository import ClientRepository, ConsentRepository, end_sessions
from monohull.kernel import clock, ids, outbox
from monohull.kernel.ids import hash_token, uuid7

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.oauth_server.dtos import ClientIn, ClientPatch
    from monohull.kernel.database.engine import Database
    from monohull.kernel.pagination import Page


class Clients:
    """Keeps the applications."""

    def __init__(self, database: Database, *, allows_registration: bool) -> None:
        self._database = database
        self._allows_registration = allows_registration

    async def list_page(self, page: Page) -> tuple[Sequence[ClientView], int]:
        """Return a page of the applications, and how many there are."""
        async with self._database.unit_of_work() as work:
            clients, total = await ClientRepository(work).list_page(page)
            return [view_client(client) for client in clients], total

    async def show(self, client_id: str) -> ClientView:
        """Return an application.

        Raises:
            ValidationFailed: 400, the id is no UUID. OauthClientNotFound: 404. As all of these.
        """
        async with self._database.unit_of_work() as work:
            return view_client(await _lock(work, client_id))

    async def create(self, body: ClientIn) -> ClientView:
        """Add an application for an administrator.

        Raises:
            ValidationFailed: 400, naming the field.
        """
        try:
            client = _client_of(body, "manual")
        except rules.Unfit as unfit:
            raise ValidationFailed(str(unfit)) from unfit
        return await self._add(client)

    async def register(self, body: ClientIn) -> ClientView:
        """Add an application that registers itself (RFC 7591).

        Raises:
            DynamicRegistrationDisabled: 403. InvalidRedirectUri, InvalidClientMetadata: 400.
        """
        if not self._allows_registration:
            raise DynamicRegistrationDisabled
        try:
            client = _client_of(body, "dynamic")
        except rules.Unfit as unfit:
            refusal = InvalidRedirectUri if unfit.field == "redirect_uris" else InvalidClientMetadata
            raise refusal(str(unfit)) from unfit
        view = await self._add(client)
        expires_at = 0 if view.client_secret else None  # never; the standard asks to say so
        issued_at = int(view.created_at.timestamp())
        return structs.replace(view, client_id_issued_at=issued_at, client_secret_expires_at=expires_at)

    async def update(self, client_id: str, body: ClientPatch) -> ClientView:
        """Change what ``body`` names.

        Raises:
            ValidationFailed: 400, naming the field, or the body names none.
        """
        async with self._database.unit_of_work() as work:
            client = await _lock(work, client_id)
            try:
                changed = _change(client, body)
            except rules.Unfit as unfit:
                raise ValidationFailed(str(unfit)) from unfit
            if not changed:
                raise ValidationFailed("At least one field must be provided for update")
            client.updated_at = clock.now()
            await outbox.publish(
                work, OauthClientModified(client_id=str(client.id), changed=changed), key=str(client.id)
            )
            return view_client(client)

    async def regenerate_secret(self, client_id: str) -> ClientView:
        """Give an application another secret; the one before counts no more.

        Raises:
            ValidationFailed: 400, it is public and has none.
        """
        secret = ids.token()
        async with self._database.unit_of_work() as work:
            client = await _lock(work, client_id)
            if client.client_type == "public":
                raise ValidationFailed("Cannot regenerate secret for public client")
            client.client_secret_hash = hash_token(secret)
            client.updated_at = clock.now()
            event = OauthClientModified(client_id=str(client.id), changed=("client_secret",))
            await outbox.publish(work, event, key=str(client.id))
            return structs.replace(view_client(client), client_secret=secret)

    async def delete(self, client_id: str) -> None:
        """End an application, every session of it and what users allowed it."""
        async with self._database.unit_of_work() as work:
            client = await _lock(work, client_id)
            client.deleted_at = clock.now()
            await ConsentRepository(work).revoke_all(client.id)
            ended = await end_sessions(work, client.id)
            event = OauthClientDeleted(client_id=str(client.id), sessions=ended)
            await outbox.publish(work, event, key=str(client.id))

    async def _add(self, client: OauthClient) -> ClientView:
        secret = ids.token() if client.client_type == "confidential" else None
        client.client_secret_hash = hash_token(secret) if secret is not None else None
        async with self._database.unit_of_work() as work:
            await ClientRepository(work).add(client)
            event = OauthClientRegistered(
                client_id=str(client.id),
                client_name=client.client_name or "",
                registration=client.registration_type,
            )
            await outbox.publish(work, event, key=str(client.id))
            return structs.replace(view_client(client), client_secret=secret)


def _client_of(body: ClientIn, registration: str) -> OauthClient:
    method, client_type = rules.check_auth_method(body.token_endpoint_auth_method, body.client_type)
    rules.check_response_types(body.response_types)
    at = clock.now()
    return OauthClient(
        id=uuid7(),
        registration_type=registration,
        client_name=rules.check_name(body.client_name),
        redirect_uris=",".join(rules.check_redirect_uris(body.redirect_uris)),
        grant_types=",".join(rules.check_grant_types(body.grant_types)),
        scope=rules.check_scope(body.scope),
        client_uri=rules.check_link("client_uri", body.client_uri),
        logo_uri=rules.check_link("logo_uri", body.logo_uri),
        client_type=client_type,
        token_endpoint_auth_method=method,
        created_at=at,
        updated_at=at,
    )


def _change(client: OauthClient, body: ClientPatch) -> tuple[str, ...]:
    checks: dict[str, Callable[..., str | None]] = {
        "client_name": rules.check_name,
        "redirect_uris": lambda uris: ",".join(rules.check_redirect_uris(uris)),
        "grant_types": lambda names: ",".join(rules.check_grant_types(names)),
        "scope": rules.check_scope,
        "client_uri": lambda uri: rules.check_link("client_uri", uri),
        "logo_uri": lambda uri: rules.check_link("logo_uri", uri),
        "token_endpoint_auth_method": lambda method: rules.check_auth_method(method, client.client_type)[0],
    }
    changed = tuple(name for name in checks if getattr(body, name) is not UNSET)
    for name in changed:
        setattr(client, name, checks[name](getattr(body, name)))
    return changed


async def _lock(work: AsyncSession, client_id: str) -> OauthClient:
    try:
        parsed = UUID(client_id)
    except ValueError:
        raise ValidationFailed("client_id must be an UUID") from None
    if (client := await ClientRepository(work).lock(parsed)) is None:
        raise OauthClientNotFound
    return client


def view_client(client: OauthClient) -> ClientView:
    """Show an application without its secret, which nobody knows any more."""
    return ClientView(
        client_id=client.id,
        client_type=client.client_type,
        redirect_uris=client.redirect_uris.split(","),
        token_endpoint_auth_method=client.token_endpoint_auth_method,
        grant_types=client.grant_types.split(","),
        response_types=list(rules.RESPONSE_TYPES),
        client_name=client.client_name or "",
        client_uri=client.client_uri,
        logo_uri=client.logo_uri,
        scope=client.scope,
        registration_type=client.registration_type,
        created_at=client.created_at,
        updated_at=client.updated_at,
    )
