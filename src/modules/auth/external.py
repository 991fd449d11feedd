"""Put together sign-in with providers; the third part of the plug."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modules.auth.providers.client import ProviderClient
from modules.auth.providers.registry import Providers
from modules.auth.providers.vault import ProviderVault
from modules.auth.services import (
    CustomProviders,
    ExternalSignIn,
    Identities,
    IdTokenSignIn,
    ProviderUsers,
    Web3SignIn,
)
from modules.auth.settings import AuthSettings
from modules.auth.wallets import Contracts
from monohull.kernel.home import jwt_secret
from monohull.kernel.settings import SettingsError, SettingsFault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from modules.auth.redirects import Redirects
    from modules.auth.services import SessionIssuer
    from modules.auth.services.sending import Sender
    from monohull.kernel.runtime import Runtime


def build_providers(runtime: Runtime, *, path: str) -> Providers:
    """Return the providers of this installation."""
    settings = runtime.settings
    return Providers(
        settings.of(AuthSettings),
        runtime.database,
        ProviderClient(runtime.outbound),
        ProviderVault(jwt_secret(settings)),
        f"{settings.core.public_url.rstrip('/')}{path}/callback",
    )


def build_contracts(runtime: Runtime) -> Contracts:
    """Return what asks nodes about accounts that are contracts.

    Raises:
        SettingsError: An endpoint is none.
    """
    settings = runtime.settings
    endpoints = settings.of(AuthSettings).external_web3_ethereum_rpc
    try:
        return Contracts(runtime.outbound, endpoints, runtime.observer)
    except ValueError as error:
        variable = "MONOHULL_AUTH_EXTERNAL_WEB3_ETHEREUM_RPC"
        fault = SettingsFault(variable, settings.sources.get(variable, "default"), str(error))
        raise SettingsError([fault]) from error


def build_external(
    runtime: Runtime, providers: Providers, issuer: SessionIssuer, sender: Sender, redirects: Redirects
) -> tuple[IdTokenSignIn, Web3SignIn, Mapping[str, Callable[[], Any]]]:
    """Return the grants, and the dependencies of the controllers."""
    database = runtime.database
    users = ProviderUsers(sender)
    external = ExternalSignIn(database, providers, users, issuer, sender)
    identities = Identities(database, external, sender)
    custom_providers = CustomProviders(
        database, providers, allows_http=not runtime.settings.core.is_production
    )
    id_tokens = IdTokenSignIn(database, providers, users, issuer, sender)
    wallets = Web3SignIn(
        database,
        users,
        issuer,
        sender=sender,
        redirects=redirects,
        limits=runtime.limits,
        contracts=build_contracts(runtime),
    )
    dependencies: Mapping[str, Callable[[], Any]] = {
        "external": lambda: external,
        "identities": lambda: identities,
        "custom_providers": lambda: custom_providers,
        "providers": lambda: providers,
    }
    return id_tokens, wallets, dependencies
