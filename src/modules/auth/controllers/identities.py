"""``/user/identities``: what the caller is recognised by. Wire source: ``internal/api/identity.go``."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, delete, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK

from modules.auth.controllers.external import HEADERS, away, wish_of
from modules.auth.guards import by_the_user
from modules.auth.limits import Gate
from modules.auth.origin import origin_of
from modules.auth.redirects import Redirects
from modules.auth.services import Identities
from monohull.kernel.guards import principal_of, signed_in


class IdentitiesController(Controller):
    path = "/user/identities"
    tags = ("Auth",)
    guards = (signed_in, by_the_user)

    @get("/authorize", status_code=HTTP_200_OK, operation_id="LinkIdentity")
    async def begin(
        self,
        request: Request[Any, Any, Any],
        identities: NamedDependency[Identities],
        gate: NamedDependency[Gate],
        redirects: NamedDependency[Redirects],
    ) -> Response[Any]:
        """Send the caller's browser to a provider, to be recognised by it from now on.

        ``skip_http_redirect=true`` answers with the address in place of a redirect.

        Raises:
            UnsupportedProvider, ValidationFailed: 400. InsufficientAal: 401. ManualLinkingDisabled: 404.
        """
        await gate.external(origin_of(request))
        url = await identities.begin_link(principal_of(request), wish_of(request, redirects))
        if request.query_params.get("skip_http_redirect") == "true":
            return Response({"url": url}, headers=HEADERS)
        return away(url)

    @delete("/{identity_id:str}", status_code=HTTP_200_OK, operation_id="UnlinkIdentity")
    async def remove(
        self,
        request: Request[Any, Any, Any],
        identities: NamedDependency[Identities],
        identity_id: FromPath[str],
    ) -> dict[str, str]:
        """Remove one of the caller's identities, not the last.

        Raises:
            ManualLinkingDisabled, MalformedIdentityId: 404. InsufficientAal: 401.
            SingleIdentityNotDeletable, IdentityNotFound, EmailConflictIdentityNotDeletable: 422.
        """
        await identities.unlink(principal_of(request), identity_id)
        return {}
