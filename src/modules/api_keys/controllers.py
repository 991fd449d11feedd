"""``/platform/v1/api-keys``."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from litestar import Controller, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from modules.api_keys.dtos import CreatedKey, CreateKey, KeyView
from modules.api_keys.services import Keys
from monohull.kernel.errors import NotFound
from monohull.kernel.guards import requires
from monohull.kernel.principal import Principal


class KeysController(Controller):
    path = "/api-keys"
    tags = ("API keys",)

    @get(guards=[requires("api_keys.keys:read")], operation_id="ListApiKeys")
    async def show(self, keys: NamedDependency[Keys], revoked: FromQuery[bool] = False) -> Sequence[KeyView]:
        """List the keys, newest first; with ``revoked`` also those that have ended."""
        return await keys.list_all(with_revoked=revoked)

    @post(guards=[requires("api_keys.keys:write")], operation_id="CreateApiKey")
    async def create(
        self, keys: NamedDependency[Keys], principal: NamedDependency[Principal], data: JSONBody[CreateKey]
    ) -> Response[CreatedKey]:
        """Create a key. The answer is the only place where it is ever shown."""
        return Response(await keys.create(data, principal), headers={"Cache-Control": "no-store"})

    @delete("/{key_id:str}", guards=[requires("api_keys.keys:write")], operation_id="RevokeApiKey")
    async def revoke(self, keys: NamedDependency[Keys], key_id: FromPath[str]) -> None:
        """Revoke a key; within a few seconds every process refuses it."""
        try:
            parsed = UUID(key_id)
        except ValueError:
            raise NotFound("No API key has this id.") from None
        await keys.revoke(parsed)
