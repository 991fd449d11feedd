"""A provider on loopback that keeps to the rules, and one that lies when it is told to.

It checks what a provider checks: the client and its secret, the redirect URI, that
a code comes once, and that the verifier belongs to the challenge. OpenID's
``/.well-known`` and every path of `PATHS` and of `Idp.documents` are served.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from base64 import b64decode, urlsafe_b64encode
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import msgspec
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from monohull.kernel import clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

CLIENT_ID: Final = "client-of-monohull"
CLIENT_SECRET: Final = "secret of monohull"
AUTHORIZE: Final = (
    "/o/oauth2/v2/auth",
    "/auth/authorize",
    "/oauth2/v2.0/authorize",
    "/site/oauth2/authorize",
    "/api/oauth2/authorize",
    "/dialog/oauth",
    "/oauth",
    "/login/oauth/authorize",
    "/oauth/authorize",
    "/protocol/openid-connect/auth",
    "/oauth/v2/authorization",
    "/v1/oauth/authorize",
    "/openid/connect/authorize",
    "/authorize",
    "/oauth2/authorize",
)
TOKEN: Final = (
    "/token",
    "/auth/token",
    "/oauth2/v2.0/token",
    "/site/oauth2/access_token",
    "/api/oauth2/token",
    "/oauth/access_token",
    "/v1/oauth/token",
    "/login/oauth/access_token",
    "/oauth/token",
    "/protocol/openid-connect/token",
    "/oauth/v2/accessToken",
    "/api/openid.connect.token",
    "/api/token",
    "/oauth2/token",
)
KEYS: Final = ("/oauth2/v3/certs", "/auth/keys", "/openid/connect/keys", "/jwks")


class Idp:
    """What a test changes: who comes next (`claims`), what profiles say (`documents`), and the lies.

    Attributes:
        claims: Of the next id tokens, over what is right; None leaves a claim out.
        header: Of the next id tokens.
        token_status: Of the token endpoint.
        hangs: Whether the token endpoint never answers.
        key: What signs.
        refuses: The error with which browsers come back.
        issuer: What the discovery document says, when it is not the address.
    """

    def __init__(self) -> None:
        self.url = ""
        self.documents: dict[str, Any] = {}
        self.grants: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.rsa = RSAKey.generate_key(2048, {"kid": "one"})
        self.published = [self.rsa.as_dict(private=False)]
        self.be_honest()

    def be_honest(self) -> None:
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.key: Any = self.rsa
        self.token_status = 200
        self.token_body: bytes | None = None
        self.hangs = False
        self.refuses = ""
        self.issuer = ""
        self.gives_id_token = True

    def becomes(self, subject: str, email: str | None, **claims: Any) -> None:
        """Have this person come next."""
        self.claims = {"sub": subject, "email": email, "email_verified": True, "name": "Ada", **claims}

    def id_token(self, **claims: Any) -> str:
        """Make an id token, as right as `claims` and `header` let it be."""
        at = clock.unix_seconds()
        right = {"iss": self.url, "aud": CLIENT_ID, "iat": at, "exp": at + 300}
        merged = {**right, **claims, **self.claims}
        payload = msgspec.json.encode({name: value for name, value in merged.items() if value is not None})
        header = {"alg": "RS256", "kid": "one", **self.header}
        signed = ".".join(_encode(msgspec.json.encode(part)) for part in (header, msgspec.Raw(payload)))
        return f"{signed}.{self._signature(header, signed)}"

    def _signature(self, header: Mapping[str, Any], signed: str) -> str:
        """Sign as a library would not: what no honest one writes has to be written here."""
        if header["alg"] == "none":
            return ""
        if header["alg"] == "HS256":  # the public key as if it were a shared secret
            return _encode(hmac.digest(self.rsa.as_pem(private=False), signed.encode(), "sha256"))
        model = jws.JWSRegistry(algorithms=[header["alg"]]).get_alg(header["alg"])
        return _encode(model.sign(signed.encode(), self.key))

    def confuse(self) -> None:
        """Sign with the public key as if it were a shared secret."""
        self.header = {"alg": "HS256"}

    def use_stranger(self) -> None:
        """Sign with a key that is not published, under the name of one that is."""
        self.key = RSAKey.generate_key(2048)

    def use_curve(self) -> None:
        """Sign with another key and algorithm, which are published from now on."""
        self.key = ECKey.generate_key("P-256", {"kid": "two"})
        self.published.append(self.key.as_dict(private=False))
        self.header = {"alg": "ES256", "kid": "two"}

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Any, str]:
        """Return status, body and location."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        path = parts.path.removeprefix("/common")
        if path.endswith("/.well-known/openid-configuration"):
            return 200, self.discovery(), ""
        if path in KEYS:
            return 200, {"keys": self.published}, ""
        if method == "POST" and path in TOKEN:
            return self._token(dict(parse_qsl(body.decode())), headers)
        if path in self.documents:
            held = headers.get("authorization", "")
            return (200, self.documents[path], "") if held.startswith("Bearer at-") else (401, {}, "")
        if path in AUTHORIZE:
            return self._authorize(query)
        return 404, {}, ""

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer or self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/jwks",
        }

    def _authorize(self, query: Mapping[str, str]) -> tuple[int, Any, str]:
        if query.get("client_id") != CLIENT_ID or query.get("response_type") != "code":
            return 400, {"error": "invalid_client"}, ""
        back = {"state": query["state"]}
        if self.refuses:
            back |= {"error": self.refuses, "error_description": "The person said no"}
        else:
            code = secrets.token_urlsafe(8)
            self.grants[code] = dict(query)
            back |= {"code": code}
        return 302, {}, f"{query['redirect_uri']}?{urlencode(back)}"

    def _token(self, form: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, Any, str]:
        if self.token_status != 200 or self.token_body is not None:
            return self.token_status, self.token_body or b"{}", ""
        client = form.get("client_id"), form.get("client_secret")
        if headers.get("authorization", "").startswith("Basic "):
            name, _, secret = b64decode(headers["authorization"][6:]).decode().partition(":")
            client = unquote(name), unquote(secret)
        asked = self.grants.pop(form.get("code", ""), None)
        if (
            client != (CLIENT_ID, CLIENT_SECRET)
            or asked is None
            or asked["redirect_uri"] != form["redirect_uri"]
        ):
            return 400, {"error": "invalid_grant"}, ""
        if challenge := asked.get("code_challenge"):
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            if _encode(digest) != challenge:
                return 400, {"error": "invalid_grant"}, ""
        given = {"access_token": "at-1", "refresh_token": "rt-1", "token_type": "bearer"}
        if self.gives_id_token:
            nonce = {"nonce": asked["nonce"]} if "nonce" in asked else {}
            given["id_token"] = self.id_token(**nonce)
        return 200, given, ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, _ = head.split(" ", 2)
            lines = (line.partition(":") for line in head.splitlines()[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in lines}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.asked.append(f"{method} {urlsplit(target).path}")
            if self.hangs and method == "POST":
                await asyncio.sleep(60)
            status, answer, location = self.answer(method, target, headers, body)
            content = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
            extra = f"location: {location}\r\n" if location else ""
            writer.write(
                f"HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-type: application/json\r\n"
                f"{extra}content-length: {len(content)}\r\n\r\n".encode()
                + content
            )
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def running_idp() -> AsyncIterator[Idp]:
    """Serve a provider."""
    idp = Idp()
    server = await asyncio.start_server(idp.serve, "127.0.0.1", 0)
    idp.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield idp
    finally:
        server.close()


def settings_of(idp: Idp, *providers: str) -> dict[str, str]:
    """Settings under which the application signs people in with it, as each of ``providers``."""
    settings = {"outbound_allowed": "127.0.0.1", "auth_rate_limit_external": "1000000"}
    for name in providers:
        settings |= {
            f"auth_external_{name}_enabled": "true",
            f"auth_external_{name}_client_id": f"{CLIENT_ID},ios-app",
            f"auth_external_{name}_secret": CLIENT_SECRET,
            f"auth_external_{name}_url": idp.url,
        }
    return settings


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
