"""``/platform/v1/mailbox``: what would have been sent, in development and in tests.

What lies here opens accounts, so it is for this machine alone, and not for a
page that some browser on it shows; a service key opens it from anywhere.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from litestar import Controller, Response, delete, get
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import FromQuery
from litestar.status_codes import HTTP_204_NO_CONTENT

from modules.auth.messages import Kept, Mailbox
from modules.auth.origin import Origin
from modules.auth.permissions import READ_MAILBOX
from monohull.kernel.errors import NotFound
from monohull.kernel.guards import REQUIRED, demand, principal_of

LOCAL_HOSTS: Final = ("127.0.0.1", "localhost", "::1")
PERMISSION: Final = READ_MAILBOX.name


def here_or_trusted(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Demand the same machine, or a key that may read the mailbox.

    Raises:
        Unauthenticated: 401. Forbidden: 403.
    """
    if not _is_here(connection):
        demand(principal_of(connection), PERMISSION)


def _is_here(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Say whether the request comes from this machine, past no proxy and by no page of somebody else."""
    ip = Origin(connection.scope["state"].get("address")).ip
    host = urlsplit(f"//{connection.headers.get('host', '')}").hostname
    foreign = ("origin", "forwarded", "x-forwarded-for")
    return (
        ip is not None
        and ip.is_loopback
        and host in LOCAL_HOSTS
        and not any(name in connection.headers for name in foreign)
    )


setattr(here_or_trusted, REQUIRED, PERMISSION)


class MailboxController(Controller):
    path = "/platform/v1/mailbox"
    tags = ("Auth",)
    guards = (here_or_trusted,)

    @get(operation_id="ReadMailbox")
    async def show(
        self, mailbox: NamedDependency[Mailbox | None], to: FromQuery[str | None] = None
    ) -> Response[dict[str, Any]]:
        """Return the messages that were kept, newest first; ``to`` names one address or number.

        Raises:
            NotFound: 404, in production.
        """
        messages: list[Kept] = list(await _there(mailbox).read(to))
        return Response({"messages": messages}, headers={"Cache-Control": "no-store"})

    @delete(status_code=HTTP_204_NO_CONTENT, operation_id="EmptyMailbox")
    async def empty(self, mailbox: NamedDependency[Mailbox | None]) -> None:
        """Throw all kept messages away."""
        await _there(mailbox).empty()


def _there(mailbox: Mailbox | None) -> Mailbox:
    if mailbox is None:
        raise NotFound("There is no mailbox in production.")
    return mailbox
