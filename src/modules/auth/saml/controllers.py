"""``/auth/v1/sso`` and ``/auth/v1/admin/sso``: people of organisations, and the organisations."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qs

from litestar import Controller, Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK, HTTP_303_SEE_OTHER

from modules.auth.captcha import Captcha
from modules.auth.controllers.admin import administrator
from modules.auth.controllers.bodies import takes
from modules.auth.controllers.humans import require_human
from modules.auth.errors import ValidationFailed
from modules.auth.origin import origin_of
from modules.auth.redirects import Redirects
from modules.auth.saml.assembly import SamlGate, SamlMetadata
from modules.auth.saml.dtos import ProviderIn, ProviderPatch, Providers, ProviderView, SsoBody, SsoUrl
from modules.auth.saml.providers import Organisations
from modules.auth.saml.sign_on import SignOn
from modules.auth.wire import decode
from monohull.kernel.guards import public

NO_STORE: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
MAX_FIELDS: Final = 20


class SsoController(Controller):
    path = "/sso"
    tags = ("Auth",)
    opt = public()

    @post(status_code=HTTP_200_OK, operation_id="SignInWithSso", operation_class=takes(SsoBody))
    async def begin(
        self,
        request: Request[Any, Any, Any],
        saml_sign_on: NamedDependency[SignOn],
        saml_gate: NamedDependency[SamlGate],
        redirects: NamedDependency[Redirects],
        captcha: NamedDependency[Captcha],
    ) -> Response[SsoUrl | None]:
        """Send the browser to the organisation's identity provider, or say where that is."""
        await saml_gate.admit(origin_of(request))
        await require_human(request, captcha)
        body = decode(await request.body(), SsoBody)
        wanted = body.redirect_to or request.query_params.get("redirect_to")
        url = await saml_sign_on.begin(body, redirects.choose(wanted, request.headers.get("referer")))
        if body.skip_http_redirect:
            return Response(SsoUrl(url), headers=NO_STORE)
        return Response(None, status_code=HTTP_303_SEE_OTHER, headers={"Location": url, **NO_STORE})

    @get("/saml/metadata", media_type="application/samlmetadata+xml", operation_id="GetSamlMetadata")
    async def metadata(
        self, request: Request[Any, Any, Any], saml_metadata: NamedDependency[SamlMetadata]
    ) -> Response[bytes]:
        """Return what identity providers need to know of us; ``download=true`` as a file."""
        headers = {"Cache-Control": "public, max-age=600"}
        if request.query_params.get("download") == "true":
            headers["Content-Disposition"] = 'attachment; filename="metadata.xml"'
        return Response(saml_metadata.xml, headers=headers, media_type="application/samlmetadata+xml")

    @post("/saml/acs", status_code=HTTP_303_SEE_OTHER, operation_id="ConsumeSamlAssertion")
    async def consume(
        self,
        request: Request[Any, Any, Any],
        saml_sign_on: NamedDependency[SignOn],
        saml_gate: NamedDependency[SamlGate],
    ) -> Response[None]:
        """Take the identity provider's answer, and send the browser on with a session or a code."""
        origin = origin_of(request)
        await saml_gate.admit(origin)
        response, relay_state = _read_form(await request.body())
        target = await saml_sign_on.finish(response, relay_state, origin)
        return Response(None, status_code=HTTP_303_SEE_OTHER, headers={"Location": target, **NO_STORE})


class SsoProvidersController(Controller):
    path = "/admin/sso/providers"
    tags = ("Auth administration",)
    guards = (administrator,)

    @get(operation_id="ListSsoProviders")
    async def show_all(self, saml_organisations: NamedDependency[Organisations]) -> Providers:
        """Return every organisation."""
        return await saml_organisations.list_all()

    @post(operation_id="CreateSsoProvider", operation_class=takes(ProviderIn))
    async def create(
        self, request: Request[Any, Any, Any], saml_organisations: NamedDependency[Organisations]
    ) -> ProviderView:
        """Let people of an organisation sign in."""
        return await saml_organisations.create(decode(await request.body(), ProviderIn))

    @get("/{provider_id:str}", operation_id="GetSsoProvider")
    async def show(
        self, saml_organisations: NamedDependency[Organisations], provider_id: FromPath[str]
    ) -> ProviderView:
        """Return an organisation."""
        return await saml_organisations.show(provider_id)

    @put("/{provider_id:str}", operation_id="UpdateSsoProvider", operation_class=takes(ProviderPatch))
    async def update(
        self,
        request: Request[Any, Any, Any],
        saml_organisations: NamedDependency[Organisations],
        provider_id: FromPath[str],
    ) -> ProviderView:
        """Change an organisation; what is left out stays."""
        return await saml_organisations.update(provider_id, decode(await request.body(), ProviderPatch))

    @delete("/{provider_id:str}", status_code=HTTP_200_OK, operation_id="DeleteSsoProvider")
    async def remove(
        self, saml_organisations: NamedDependency[Organisations], provider_id: FromPath[str]
    ) -> ProviderView:
        """Remove an organisation and end the sessions of its people."""
        return await saml_organisations.delete(provider_id)


SAML_CONTROLLERS = (SsoController, SsoProvidersController)


def _read_form(body: bytes) -> tuple[str, str]:
    """Return ``SAMLResponse`` and ``RelayState`` of a form.

    Raises:
        ValidationFailed: 400, it is no form, or has one of them twice.
    """
    try:
        form = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
        (response,) = form.get("SAMLResponse", [""])
        (relay_state,) = form.get("RelayState", [""])
    except ValueError:
        raise ValidationFailed("SAMLResponse and RelayState are sent as a form, once each") from None
    return response, relay_state
