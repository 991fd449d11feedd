"""The plug of api_keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.api_keys.authenticator import KeyAuthenticator
from modules.api_keys.events import (
    ApiKeyChanged,
    ApiKeyCreated,
    ApiKeyRefused,
    ApiKeyRevoked,
    ApiKeyRotated,
)
from modules.api_keys.news import News
from modules.api_keys.permissions import PERMISSIONS
from modules.api_keys.principals import Issue
from modules.api_keys.quotas import Quotas
from modules.api_keys.rates import Rates
from modules.api_keys.services import Keys
from modules.api_keys.usage import Usage
from monohull.kernel.module import Module, Parts
from monohull.kernel.routing import ModuleRouter

if TYPE_CHECKING:
    import click

    from monohull.kernel.runtime import Runtime


def parts(runtime: Runtime) -> Parts:
    """Build what api_keys contributes to one process."""
    from modules.api_keys.controllers import KeysController  # noqa: PLC0415 the API alone serves them

    usage = Usage(runtime.database, runtime.observer)
    rates = Rates(runtime.limits)
    quotas = Quotas(runtime.redis, runtime.observer)
    authenticator = KeyAuthenticator(
        runtime.database,
        usage,
        rates=rates,
        quotas=quotas,
        issue=Issue.of(runtime),
        counted=runtime.counted,
    )
    news = News(runtime.broker, authenticator.forget)
    keys = Keys(runtime.database, runtime.permissions, news)
    return Parts(
        routers=(ModuleRouter("/platform/v1", route_handlers=[KeysController]),),
        dependencies={"keys": lambda: keys, "key_quotas": lambda: quotas},
        authenticators=(authenticator,),
        lifespans=(usage.running, rates.running, quotas.running, news.running),
    )


def cli() -> click.Group:
    """Return ``monohull keys``."""
    from modules.api_keys.cli import keys  # noqa: PLC0415 start-up time

    return keys


module = Module(
    name="api_keys",
    permissions=PERMISSIONS,
    events=(ApiKeyCreated, ApiKeyChanged, ApiKeyRotated, ApiKeyRevoked, ApiKeyRefused),
    cli={"keys": cli},
    parts=parts,
)
