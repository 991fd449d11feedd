"""The plug of api_keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar import Router

from modules.api_keys.authenticator import KeyAuthenticator
from modules.api_keys.controllers import KeysController
from modules.api_keys.events import ApiKeyCreated, ApiKeyRevoked
from modules.api_keys.services import Keys
from modules.api_keys.usage import Usage
from monohull.kernel.module import Module, Parts
from monohull.kernel.permissions import Permission

if TYPE_CHECKING:
    import click

    from monohull.kernel.runtime import Runtime


def parts(runtime: Runtime) -> Parts:
    """Build what api_keys contributes to one process."""
    keys = Keys(runtime.database, runtime.permissions)
    usage = Usage(runtime.database, runtime.observer)
    authenticator = KeyAuthenticator(
        runtime.database, usage, anonymous_role=lambda: runtime.authentication.anonymous.role
    )
    return Parts(
        routers=(Router("/platform/v1", route_handlers=[KeysController]),),
        dependencies={"keys": lambda: keys},
        authenticators=(authenticator,),
        lifespans=(usage.running,),
    )


def cli() -> click.Group:
    """Return ``monohull keys``."""
    from modules.api_keys.cli import keys  # noqa: PLC0415 start-up time

    return keys


module = Module(
    name="api_keys",
    permissions=(
        Permission("api_keys.keys:read", "See which API keys exist."),
        Permission("api_keys.keys:write", "Create and revoke API keys."),
    ),
    events=(ApiKeyCreated, ApiKeyRevoked),
    cli={"keys": cli},
    parts=parts,
)
