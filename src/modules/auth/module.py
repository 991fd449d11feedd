"""The plug of auth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar import Router

from modules.auth.authenticator import TokenAuthenticator
from modules.auth.controllers import CONTROLLERS, RootKeysController
from modules.auth.events import (
    TokenRefreshed,
    TokenReuseDetected,
    UserSignedIn,
    UserSignedOut,
    UserSignedUp,
    UserUpdated,
)
from modules.auth.limits import Gate
from modules.auth.passwords import Passwords
from modules.auth.refresh_families import Chain
from modules.auth.seed import seed_users
from modules.auth.services import Account, Refresh, Registration, SessionIssuer, SignIn
from modules.auth.settings import AuthSettings
from modules.auth.token_cache import TokenCache
from modules.auth.tokens import TokenCodec
from modules.auth.wire import BODY_LIMIT_BYTES, render
from monohull.kernel.home import jwt_secret
from monohull.kernel.module import Module, Parts
from monohull.kernel.settings import SettingsError, SettingsFault

if TYPE_CHECKING:
    from monohull.kernel.principal import Principal
    from monohull.kernel.runtime import Runtime
    from monohull.kernel.settings import Settings

PATH = "/auth/v1"


def parts(runtime: Runtime) -> Parts:
    """Build what auth contributes to one process.

    Raises:
        SettingsError: The JWKS or the path of the role claim cannot be used.
    """
    settings = runtime.settings
    auth = settings.of(AuthSettings)
    autoconfirms = auth.autoconfirms(settings.core.env)
    codec = build_codec(settings)
    issuer = SessionIssuer(
        codec,
        Chain(jwt_secret(settings)),
        auth,
        issuer=settings.core.public_url.rstrip("/") + PATH,
        audience=settings.jwt.audience,
    )
    passwords = Passwords()
    gate = Gate(runtime.limits, auth)
    database = runtime.database
    registration = Registration(database, passwords, issuer, auth, autoconfirms=autoconfirms)
    sign_in = SignIn(database, passwords, issuer, gate, auth)
    refresh = Refresh(database, issuer, auth)
    account = Account(database, passwords, auth)
    return Parts(
        routers=(
            Router(PATH, route_handlers=CONTROLLERS, request_max_body_size=BODY_LIMIT_BYTES),
            Router("/", route_handlers=[RootKeysController]),
        ),
        dependencies={
            "registration": lambda: registration,
            "sign_in": lambda: sign_in,
            "refresh": lambda: refresh,
            "account": lambda: account,
            "gate": lambda: gate,
            "token_codec": lambda: codec,
            "auth_settings": lambda: auth,
            "autoconfirms": lambda: autoconfirms,
        },
        renderers={PATH: render},
        authenticators=(build_authenticator(runtime, codec),),
    )


def build_codec(settings: Settings) -> TokenCodec:
    """Return the codec of these settings."""
    try:
        return TokenCodec(secret=jwt_secret(settings), jwks=settings.jwt.jwks, audience=settings.jwt.audience)
    except ValueError as error:
        raise _fault(settings, "MONOHULL_JWT_JWKS", str(error)) from error


def build_authenticator(runtime: Runtime, codec: TokenCodec) -> TokenAuthenticator:
    """Return the authenticator, with its cache's figures among the metrics."""
    cache: TokenCache[Principal] = TokenCache()
    try:
        authenticator = TokenAuthenticator(
            codec,
            role_claim_key=runtime.settings.jwt.role_claim_key,
            anonymous_role=lambda: runtime.authentication.anonymous.role,
            cache=cache,
        )
    except ValueError as error:
        raise _fault(runtime.settings, "MONOHULL_JWT_ROLE_CLAIM_KEY", str(error)) from error
    metrics = runtime.metrics
    metrics.sample("monohull_token_cache_entries", "Verified tokens that are remembered.", lambda: len(cache))
    metrics.sample(
        "monohull_token_cache_hits", "Tokens that were remembered, since the start.", lambda: cache.hits
    )
    metrics.sample("monohull_token_cache_misses", "Tokens that had to be verified.", lambda: cache.misses)
    return authenticator


def _fault(settings: Settings, variable: str, message: str) -> SettingsError:
    return SettingsError([SettingsFault(variable, settings.sources.get(variable, "default"), message)])


module = Module(
    name="auth",
    settings=AuthSettings,
    events=(UserSignedUp, UserSignedIn, TokenRefreshed, TokenReuseDetected, UserSignedOut, UserUpdated),
    parts=parts,
    seed=seed_users,
)
