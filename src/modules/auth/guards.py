"""What routes demand of a token beyond being somebody's."""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from modules.auth.oauth_errors import InsufficientScope
from monohull.kernel.guards import principal_of


def by_the_user(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Demand that the user acts and not an application in the user's name.

    An application may read and write the data that policies give it. Were it
    allowed to change the password or to consent to others, it could keep the
    account.

    Raises:
        InsufficientScope: 403.
    """
    if "client_id" in principal_of(connection).claims:
        raise InsufficientScope
