"""``/platform/v1/webhooks/endpoints/{endpoint}/secrets``."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from modules.webhooks.dtos import NewSecret, RotateSecret, SecretView
from modules.webhooks.permissions import WRITE_ENDPOINTS
from modules.webhooks.services import Secrets
from modules.webhooks.services.rules import NO_ENDPOINT
from modules.webhooks.services.secrets import NO_SECRET
from monohull.kernel.guards import requires
from monohull.kernel.pages import id_of


class SecretsController(Controller):
    path = "/webhooks/endpoints/{endpoint_id:str}/secrets"
    tags = ("Webhooks",)
    guards = (requires(WRITE_ENDPOINTS.name),)

    @get(operation_id="ListWebhookSecrets")
    async def show(
        self, webhook_secrets: NamedDependency[Secrets], endpoint_id: FromPath[str]
    ) -> Sequence[SecretView]:
        """List the secrets that hold, the newest first; their texts are not shown again."""
        return await webhook_secrets.list_of(id_of(endpoint_id, NO_ENDPOINT))

    @post(operation_id="RotateWebhookSecret")
    async def rotate(
        self,
        webhook_secrets: NamedDependency[Secrets],
        endpoint_id: FromPath[str],
        data: JSONBody[RotateSecret],
    ) -> NewSecret:
        """Make a further secret. Requests carry a signature of each that holds until the overlap is over."""
        return await webhook_secrets.rotate(id_of(endpoint_id, NO_ENDPOINT), data)

    @delete("/{secret_id:str}", operation_id="DeleteWebhookSecret")
    async def end(
        self,
        webhook_secrets: NamedDependency[Secrets],
        endpoint_id: FromPath[str],
        secret_id: FromPath[str],
    ) -> None:
        """End a secret now."""
        await webhook_secrets.delete(id_of(endpoint_id, NO_ENDPOINT), id_of(secret_id, NO_SECRET))
