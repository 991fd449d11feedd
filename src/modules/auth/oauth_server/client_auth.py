"""Which application calls, and how it proves that.

An application uses the one method it was registered with; what it shows by
another is no proof, right or not (RFC 9700, section 2.5).
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus
from uuid import UUID

from msgspec import Struct

from modules.auth.oauth_errors import InvalidClient, OauthInvalidRequest
from modules.auth.oauth_server.repository import ClientRepository
from monohull.kernel.crypto import constant_time_equal
from monohull.kernel.ids import hash_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.models import OauthClient


class Shown(Struct, frozen=True):
    """What a request shows of its application. ``method`` is one of `client_rules.AUTH_METHODS`."""

    client_id: str
    method: str
    secret: str | None = None


def shown_by(form: Mapping[str, str], authorization: str | None) -> Shown:
    """Read who calls.

    Raises:
        InvalidClient: 401, nobody says who. OauthInvalidRequest: 400, it is said in two ways.
    """
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() == "basic":
        shown = _basic(encoded.strip())
        if "client_secret" in form or form.get("client_id", shown.client_id) != shown.client_id:
            raise OauthInvalidRequest("Use one way of client authentication, not two")
        return shown
    client_id, secret = form.get("client_id"), form.get("client_secret")
    if client_id is None:
        raise InvalidClient("client_id is missing")
    return Shown(client_id, "none" if secret is None else "client_secret_post", secret)


async def authenticate(work: AsyncSession, shown: Shown) -> OauthClient:
    """Return the application that ``shown`` proves.

    Raises:
        InvalidClient: 401.
    """
    try:
        client = await ClientRepository(work).find_alive(UUID(shown.client_id))
    except ValueError:
        client = None
    if client is None or client.token_endpoint_auth_method != shown.method:
        raise InvalidClient
    if shown.method != "none" and not constant_time_equal(
        hash_token(shown.secret or ""), client.client_secret_hash or ""
    ):
        raise InvalidClient
    return client


def _basic(encoded: str) -> Shown:
    """Read HTTP Basic; both halves are form-encoded inside it (RFC 6749, section 2.3.1)."""
    try:
        client_id, separator, secret = b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except (Base64Error, ValueError):
        raise InvalidClient("The Authorization header is malformed") from None
    if not separator:
        raise InvalidClient("The Authorization header is malformed")
    return Shown(unquote_plus(client_id), "client_secret_basic", unquote_plus(secret))
