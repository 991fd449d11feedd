"""``/platform/v1/api-keys``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec
from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from modules.api_keys.dtos import CreatedKey, CreateKey, KeyInUse, KeyPatch, KeyView, PatchedKey, RotateKey
from modules.api_keys.permissions import READ_KEYS, WRITE_KEYS
from modules.api_keys.quotas import Quotas
from modules.api_keys.services import Keys
from monohull.kernel.errors import NotFound
from monohull.kernel.guards import requires
from monohull.kernel.principal import Principal

NO_STORE: Final = {"Cache-Control": "no-store"}


class KeysController(Controller):
    path = "/api-keys"
    tags = ("API keys",)

    @get(guards=[requires(READ_KEYS.name)], operation_id="ListApiKeys")
    async def show(self, keys: NamedDependency[Keys], revoked: FromQuery[bool] = False) -> Sequence[KeyView]:
        """List the keys, newest first; with ``revoked`` also those that have ended."""
        return await keys.list_all(with_revoked=revoked)

    @get("/{key_id:str}", guards=[requires(READ_KEYS.name)], operation_id="GetApiKey")
    async def one(
        self, keys: NamedDependency[Keys], key_quotas: NamedDependency[Quotas], key_id: FromPath[str]
    ) -> KeyInUse:
        """Show one key, and how much of its quota is used."""
        found = await keys.get(parse_id(key_id))
        used = None if found.quota is None else await key_quotas.used(str(found.id), found.quota)
        return KeyInUse(quota_used=used, **msgspec.structs.asdict(found))

    @post(guards=[requires(WRITE_KEYS.name)], operation_id="CreateApiKey")
    async def create(
        self, keys: NamedDependency[Keys], principal: NamedDependency[Principal], data: JSONBody[CreateKey]
    ) -> Response[CreatedKey]:
        """Create a key. The answer is the only place where it is ever shown."""
        return Response(await keys.create(data, principal), headers=NO_STORE)

    @patch("/{key_id:str}", guards=[requires(WRITE_KEYS.name)], operation_id="ChangeApiKey")
    async def change(
        self,
        keys: NamedDependency[Keys],
        principal: NamedDependency[Principal],
        key_id: FromPath[str],
        data: JSONBody[KeyPatch],
    ) -> PatchedKey:
        """Change a key's name, permissions or limits; it counts for the next request."""
        found, warnings = await keys.change(parse_id(key_id), data, principal)
        return PatchedKey(warnings=tuple(warnings), **msgspec.structs.asdict(found))

    @post("/{key_id:str}/rotate", guards=[requires(WRITE_KEYS.name)], operation_id="RotateApiKey")
    async def rotate(
        self,
        keys: NamedDependency[Keys],
        principal: NamedDependency[Principal],
        key_id: FromPath[str],
        data: JSONBody[RotateKey],
    ) -> Response[CreatedKey]:
        """Give a key a new text, shown this once. The old one holds until the overlap ends."""
        created = await keys.rotate(parse_id(key_id), data.overlap_seconds, principal)
        return Response(created, headers=NO_STORE)

    @delete("/{key_id:str}", guards=[requires(WRITE_KEYS.name)], operation_id="RevokeApiKey")
    async def revoke(self, keys: NamedDependency[Keys], key_id: FromPath[str]) -> None:
        """Revoke a key; within moments every process refuses it."""
        await keys.revoke(parse_id(key_id))


def parse_id(text: str) -> UUID:
    """Return the id in a path.

    Raises:
        NotFound: 404, it is none, so that nothing has it.
    """
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("No API key has this id.") from None
