"""Secrets of an endpoint: several may hold at a time, and each signs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from modules.webhooks.dtos import NewSecret, SecretView
from modules.webhooks.errors import LastWebhookSecret, TooManyWebhookSecrets, WebhookInvalid
from modules.webhooks.events import WebhookSecretDeleted, WebhookSecretRotated
from modules.webhooks.models import WebhookSecret
from modules.webhooks.repositories import EndpointRepository, SecretRepository
from modules.webhooks.services.rules import NO_ENDPOINT
from modules.webhooks.signing import new_secret, read_secret
from monohull.kernel import clock, outbox
from monohull.kernel.errors import NotFound
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.webhooks.dtos import RotateSecret
    from modules.webhooks.sealing import Vault
    from monohull.kernel.database.engine import Database

MAX_HOLDING: Final = 5
NO_SECRET: Final = "The endpoint has no such secret."


class Secrets:
    """Secrets, which are shown when they are made and never again.

    Args:
        database: Where they are.
        vault: Seals them.
    """

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def list_of(self, endpoint_id: UUID) -> Sequence[SecretView]:
        """Return the secrets that hold, the newest first.

        Raises:
            NotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            await _lock(work, endpoint_id)
            rows = await SecretRepository(work).list_holding(endpoint_id)
            return [
                SecretView(id=row.id, created_at=row.created_at, expires_at=row.expires_at) for row in rows
            ]

    async def rotate(self, endpoint_id: UUID, wanted: RotateSecret) -> NewSecret:
        """Make a further secret; those before it hold for the overlap, and no longer than they would have.

        Raises:
            NotFound: 404. WebhookInvalid: 400. TooManyWebhookSecrets: 409.
        """
        secret = new_secret() if wanted.secret is None else wanted.secret
        try:
            read_secret(secret)
        except ValueError as error:
            raise WebhookInvalid(str(error)) from error
        async with self._database.unit_of_work() as work:
            await _lock(work, endpoint_id)
            now = clock.now()
            ends = now + timedelta(hours=wanted.overlap_hours)
            earlier = await SecretRepository(work).list_holding(endpoint_id)
            if wanted.overlap_hours and len(earlier) >= MAX_HOLDING:
                raise TooManyWebhookSecrets(f"{len(earlier)} secrets of the endpoint hold.")
            for row in earlier:
                row.expires_at = ends if row.expires_at is None else min(row.expires_at, ends)
            secret_id = uuid7()
            sealed = self._vault.close_secret(secret_id, secret)
            work.add(WebhookSecret(id=secret_id, endpoint_id=endpoint_id, secret=sealed, created_at=now))
            rotated = WebhookSecretRotated(
                endpoint_id=str(endpoint_id), secret_id=str(secret_id), overlap_hours=wanted.overlap_hours
            )
            await outbox.publish(work, rotated, key=rotated.endpoint_id)
            return NewSecret(id=secret_id, secret=secret, created_at=now)

    async def delete(self, endpoint_id: UUID, secret_id: UUID) -> None:
        """End a secret now.

        Raises:
            NotFound: 404. LastWebhookSecret: 409.
        """
        async with self._database.unit_of_work() as work:
            await _lock(work, endpoint_id)
            secrets = SecretRepository(work)
            holding = await secrets.list_holding(endpoint_id)
            row = next((row for row in holding if row.id == secret_id), None)
            if row is None:
                raise NotFound(NO_SECRET)
            if all(other.expires_at is not None for other in holding if other is not row):
                raise LastWebhookSecret("No other secret of the endpoint holds for good.")
            await secrets.remove(row)
            deleted = WebhookSecretDeleted(endpoint_id=str(endpoint_id), secret_id=str(secret_id))
            await outbox.publish(work, deleted, key=deleted.endpoint_id)


async def _lock(work: AsyncSession, endpoint_id: UUID) -> None:
    if await EndpointRepository(work).find_locked(endpoint_id) is None:
        raise NotFound(NO_ENDPOINT)
