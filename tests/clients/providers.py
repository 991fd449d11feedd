"""Providers on loopback for clients in processes of their own: one of OpenID Connect, one of SAML."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from tests.integration.auth.identity_provider import IdentityProvider, Says, encode, read_request
from tests.integration.auth.idp import CLIENT_ID, CLIENT_SECRET, Idp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SIGN_ON: Final = "/saml"


class Providers(Idp):
    """Both at one address; in the place of a page there is the form that the page would post."""

    saml: IdentityProvider

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Any, str]:
        if urlsplit(target).path != SIGN_ON:
            return super().answer(method, target, headers, body)
        request, relay_state = read_request(target)
        response = self.saml.answer(Says(request_id=request.get("ID")))
        return 200, {"SAMLResponse": encode(response), "RelayState": relay_state}, ""


@contextmanager
def serving() -> Iterator[Mapping[str, str]]:
    """Serve in a thread; yield the environment of a client."""
    providers, is_ready = Providers(), Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        server = await asyncio.start_server(providers.serve, "127.0.0.1", 0)
        providers.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        providers.saml = IdentityProvider(f"{providers.url}/idp", f"{providers.url}{SIGN_ON}")
        providers.becomes("ada", "ada@oidc.example")
        is_ready.set()
        async with server:
            await stop.wait()

    stop = asyncio.Event()
    thread = Thread(target=loop.run_until_complete, args=(serve(),), name="providers")
    thread.start()
    try:
        assert is_ready.wait(30)
        yield {
            "SAML_METADATA": providers.saml.metadata,
            "OIDC_ISSUER": providers.url,
            "OIDC_CLIENT_ID": CLIENT_ID,
            "OIDC_CLIENT_SECRET": CLIENT_SECRET,
        }
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()
