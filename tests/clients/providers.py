"""Identity providers on loopback, of SAML and of OpenID, for clients in processes of their own."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from tests.integration.auth.identity_provider import IdentityProvider, Says, encode, read_request
from tests.integration.auth.idp import Idp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PATH: Final = "/saml"


class SignOn(Idp):
    """In the place of a page there is the form that the page would have a browser post.

    Who comes by OpenID is whom the request hints at: the address is the subject too.
    """

    saml: IdentityProvider

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Any, str]:
        parts = urlsplit(target)
        if hint := parse_qs(parts.query).get("login_hint"):
            self.becomes(hint[0], hint[0])
        if parts.path != PATH:
            return super().answer(method, target, headers, body)
        request, relay_state = read_request(target)
        response = self.saml.answer(Says(request_id=request.get("ID")))
        return 200, {"SAMLResponse": encode(response), "RelayState": relay_state}, ""


@contextmanager
def serving() -> Iterator[Mapping[str, str]]:
    """Serve in a thread; yield the environment of a client."""
    sign_on, is_ready = SignOn(), Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        server = await asyncio.start_server(sign_on.serve, "127.0.0.1", 0)
        sign_on.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        sign_on.saml = IdentityProvider(f"{sign_on.url}/idp", f"{sign_on.url}{PATH}")
        is_ready.set()
        async with server:
            await stop.wait()

    stop = asyncio.Event()
    thread = Thread(target=loop.run_until_complete, args=(serve(),), name="identity provider")
    thread.start()
    try:
        assert is_ready.wait(30)
        yield {
            "SAML_METADATA": sign_on.saml.metadata,
            "OIDC_ISSUER": sign_on.url,
        }
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()
