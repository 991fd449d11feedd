"""Ask providers: JSON in, JSON out, in time, and whatever goes wrong has one name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import msgspec

from modules.auth.providers.errors import ProviderUnavailable
from monohull.kernel.outbound import OutboundFailed, OutboundLimits, OutboundRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monohull.kernel.outbound import Outbound, Reply

LIMITS: Final = OutboundLimits(
    connect_seconds=5.0, read_seconds=8.0, total_seconds=10.0, response_bytes=500_000
)
OK: Final = 200
CLIENT_ERROR: Final = 400
SERVER_ERROR: Final = 500


async def fetch(outbound: Outbound, url: str, headers: Mapping[str, str] | None = None) -> Any:
    """Return what a GET answers.

    Raises:
        ProviderUnavailable: 503, no answer, no 200, or no JSON.
    """
    reply = await _ask(outbound, "GET", url, headers or {}, b"")
    if reply.status != OK:
        raise ProviderUnavailable(f"The provider answered {reply.status}")
    return _json(reply)


async def post_form(
    outbound: Outbound, url: str, form: Mapping[str, str], headers: Mapping[str, str]
) -> tuple[int, Any]:
    """Return the status and the JSON of a POST; a refusal is an answer too.

    Raises:
        ProviderUnavailable: 503, no answer, a 5xx, or no JSON in a 200.
    """
    headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    reply = await _ask(outbound, "POST", url, headers, urlencode(form).encode())
    if reply.status >= SERVER_ERROR:
        raise ProviderUnavailable(f"The provider answered {reply.status}")
    if reply.status >= CLIENT_ERROR:
        return reply.status, None
    return reply.status, _json(reply)


async def _ask(outbound: Outbound, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
    try:
        return await outbound.request(
            method, url, headers={"Accept": "application/json", **headers}, body=body, limits=LIMITS
        )
    except (OutboundFailed, OutboundRefused) as error:
        raise ProviderUnavailable(f"The provider does not answer: {error}") from error


def _json(reply: Reply) -> Any:
    try:
        return msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProviderUnavailable("The provider's answer is not JSON") from error
