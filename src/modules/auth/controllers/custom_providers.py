"""``/admin/custom-providers``: providers by configuration at run time.

Wire source: supabase/auth, ``internal/api/custom_oauth_admin.go``.
"""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.status_codes import HTTP_201_CREATED, HTTP_204_NO_CONTENT

from modules.auth.controllers.admin import administrator
from modules.auth.controllers.bodies import takes
from modules.auth.dtos import CustomProviderBody
from modules.auth.services import CustomProviders
from modules.auth.wire import decode


class CustomProvidersController(Controller):
    path = "/admin/custom-providers"
    tags = ("Auth administration",)
    guards = (administrator,)

    @get(operation_id="ListCustomProviders")
    async def show_all(
        self, request: Request[Any, Any, Any], custom_providers: NamedDependency[CustomProviders]
    ) -> dict[str, Any]:
        """Return them; ``type`` is oauth2 or oidc."""
        return {"providers": await custom_providers.list_all(request.query_params.get("type"))}

    @post(
        status_code=HTTP_201_CREATED,
        operation_id="CreateCustomProvider",
        operation_class=takes(CustomProviderBody),
    )
    async def create(
        self, request: Request[Any, Any, Any], custom_providers: NamedDependency[CustomProviders]
    ) -> dict[str, Any]:
        """Make one; an OpenID provider's discovery document is read at once."""
        return await custom_providers.create(decode(await request.body(), CustomProviderBody))

    @get("/{identifier:str}", operation_id="GetCustomProvider")
    async def show(
        self, custom_providers: NamedDependency[CustomProviders], identifier: FromPath[str]
    ) -> dict[str, Any]:
        """Return one, without its secret."""
        return await custom_providers.show(identifier)

    @put(
        "/{identifier:str}",
        operation_id="UpdateCustomProvider",
        operation_class=takes(CustomProviderBody),
    )
    async def update(
        self,
        request: Request[Any, Any, Any],
        custom_providers: NamedDependency[CustomProviders],
        identifier: FromPath[str],
    ) -> dict[str, Any]:
        """Change what the body names."""
        return await custom_providers.update(identifier, decode(await request.body(), CustomProviderBody))

    @delete("/{identifier:str}", status_code=HTTP_204_NO_CONTENT, operation_id="DeleteCustomProvider")
    async def remove(
        self, custom_providers: NamedDependency[CustomProviders], identifier: FromPath[str]
    ) -> None:
        """Delete one."""
        await custom_providers.delete(identifier)
