"""The plug of auth."""

from __future__ import annotations

import base64
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from modules.auth import metrics, revocations
from modules.auth.authenticator import TokenAuthenticator
from modules.auth.breaches import build_breaches
from modules.auth.captcha import Captcha
from modules.auth.events import (
    FLOW_EVENTS,
    SignInFailed,
    SigningKeyRetired,
    SigningKeysRotated,
    SignInRefused,
    TokenRefreshed,
    TokenReuseDetected,
    UserSignedIn,
    UserSignedOut,
    UserSignedUp,
    UserUpdated,
)
from modules.auth.external import build_external, build_providers
from modules.auth.factors.events import FACTOR_EVENTS
from modules.auth.flows import CRON, JOBS, SUBSCRIBERS, build_flows
from modules.auth.frequent import build_frequent
from modules.auth.hardening import weaknesses
from modules.auth.hooks.assembly import find_hooks
from modules.auth.keys import Presenters, build_ring
from modules.auth.keys import repository as signing_keys
from modules.auth.keys.legacy import LegacyKeys
from modules.auth.limits import Gate
from modules.auth.lockout import Lockout
from modules.auth.oauth_events import OAUTH_EVENTS
from modules.auth.passkeys.events import PASSKEY_EVENTS
from modules.auth.passwords import Passwords
from modules.auth.permissions import PERMISSIONS
from modules.auth.refresh_families import Chain
from modules.auth.revocations import Denylist, prune_revocations
from modules.auth.seed import seed_users
from modules.auth.services import (
    Account,
    Grants,
    PkceExchange,
    Refresh,
    SessionAdministration,
    SessionIssuer,
    SignIn,
)
from modules.auth.settings import AuthSettings
from modules.auth.sso_events import SSO_EVENTS
from modules.auth.token_cache import TokenCache
from modules.auth.tokens import TokenCodec
from modules.auth.wire import BODY_LIMIT_BYTES, render
from monohull.kernel.database.listen import Listener
from monohull.kernel.home import jwt_secret
from monohull.kernel.module import Module, Parts
from monohull.kernel.queues import Cron
from monohull.kernel.routing import ModuleRouter
from monohull.kernel.settings import SettingsError, SettingsFault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    import click

    from modules.auth.keys import KeyRing
    from monohull.kernel.principal import Principal
    from monohull.kernel.runtime import Runtime
    from monohull.kernel.settings import Settings

PATH = "/auth/v1"


def parts(runtime: Runtime) -> Parts:
    """Build what auth contributes to one process.

    Raises:
        SettingsError: The JWKS or the path of the role claim cannot be used.
    """
    from modules.auth.controllers import CONTROLLERS, MailboxController, RootKeysController  # noqa: PLC0415 the API alone serves them
    from modules.auth.oauth_server import build_oauth_server  # noqa: PLC0415 the API alone serves them
    from modules.auth.oauth_server.controllers import (  # noqa: PLC0415 the API alone serves them
        OAUTH_CONTROLLERS,
        OAUTH_ROOT_CONTROLLERS,
    )
    from modules.auth.saml import build_saml  # noqa: PLC0415 the API alone serves them
    from modules.auth.saml.controllers import SAML_CONTROLLERS  # noqa: PLC0415 the API alone serves them

    settings = runtime.settings
    auth = settings.of(AuthSettings)
    database = runtime.database
    autoconfirms = auth.autoconfirms(settings.core.env)
    hooks = find_hooks(runtime)
    ring = build_ring(runtime)
    codec = build_codec(settings, ring)
    presenters = Presenters(runtime.redis)
    denylist = Denylist(
        database,
        lifetime_seconds=auth.jwt_exp,
        overlays=not hooks.has("custom_access_token"),  # what the hook would say to the change is its to say
        observer=runtime.observer,
    )
    issuer = SessionIssuer(
        codec,
        Chain(jwt_secret(settings)),
        auth,
        issuer=issuer_of(settings),
        audience=settings.jwt.effective_audience,
        hooks=hooks,
        grants=runtime.grants,
    )
    providers = build_providers(runtime, path=PATH)
    passwords = Passwords(
        breaches=build_breaches(auth, runtime.outbound, runtime.observer),
        frequent=build_frequent(auth, is_production=settings.core.is_production),
    )
    lockout = Lockout(runtime.redis, jwt_secret(settings).encode(), auth.rate_limit_account_failures)
    gate = Gate(runtime.limits, lockout, auth, runtime.counted)
    flows = build_flows(runtime, issuer, passwords, hooks, path=PATH)
    id_tokens, wallets, external = build_external(
        runtime, providers, issuer, flows["sender"](), flows["redirects"]()
    )
    grants = Grants(
        password=SignIn(database, passwords, issuer, gate, auth, hooks),
        refresh=Refresh(database, issuer, auth),
        pkce=PkceExchange(database, issuer, providers.vault),
        id_token=id_tokens,
        web3=wallets,
    )
    account = Account(database)
    captcha = build_captcha(runtime)
    return Parts(
        routers=(
            ModuleRouter(
                PATH,
                route_handlers=[*CONTROLLERS, *OAUTH_CONTROLLERS, *SAML_CONTROLLERS],
                request_max_body_size=BODY_LIMIT_BYTES,
            ),
            ModuleRouter(
                "/", route_handlers=[RootKeysController, MailboxController, *OAUTH_ROOT_CONTROLLERS]
            ),
        ),
        dependencies={
            **flows,
            **external,
            **build_saml(runtime, issuer, url=issuer_of(settings)),
            **build_oauth_server(runtime, issuer, grants.refresh, codec, url=issuer_of(settings)),
            "grants": lambda: grants,
            "account": lambda: account,
            "session_administration": lambda: SessionAdministration(database),
            "captcha": lambda: captcha,
            "gate": lambda: gate,
            "token_codec": lambda: codec,
            "auth_settings": lambda: auth,
            "autoconfirms": lambda: autoconfirms,
        },
        renderers={PATH: render},
        at_root=PATH if auth.at_root else None,
        authenticators=(build_authenticator(runtime, codec, ring, presenters, denylist),),
        lifespans=(
            listener(
                runtime,
                {signing_keys.CHANNEL: ring.request_reload, revocations.CHANNEL: denylist.request_reload},
            ),
            ring.running,
            denylist.running,
            presenters.running,
        ),
    )


def listener(
    runtime: Runtime, callbacks: Mapping[str, Callable[[str | None], None]]
) -> Callable[[], AbstractAsyncContextManager[None]]:
    """Return a lifespan in which the database tells of changes."""
    listening = Listener(runtime.connections.owner_url, callbacks, observer=runtime.observer)

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        async with listening.running():
            yield

    return running


def build_captcha(runtime: Runtime) -> Captcha:
    """Return what checks captchas.

    Raises:
        SettingsError: It is on and has no secret.
    """
    settings = runtime.settings
    try:
        return Captcha(runtime.outbound, settings.of(AuthSettings), runtime.observer)
    except ValueError as error:
        raise _fault(settings, "MONOHULL_AUTH_SECURITY_CAPTCHA_SECRET", str(error)) from error


def issuer_of(settings: Settings) -> str:
    """Return the ``iss`` of our own tokens."""
    return settings.core.public_url.rstrip("/") + PATH


def build_codec(settings: Settings, ring: KeyRing | None = None) -> TokenCodec:
    """Return the codec of these settings."""
    jwt = settings.jwt
    try:
        return TokenCodec(
            secret=_secret_bytes(settings),
            jwks=jwt.key_set,
            audience=jwt.effective_audience,
            issuers=(issuer_of(settings), *jwt.issuers) if jwt.issuers else (),
            ring=ring,
        )
    except ValueError as error:
        variable = "MONOHULL_JWT_JWKS" if jwt.jwks is not None else "MONOHULL_JWT_SECRET"
        raise _fault(settings, variable, str(error)) from error


def _secret_bytes(settings: Settings) -> bytes:
    """Return the bytes that sign; both alphabets of base64 are read, with or without padding."""
    secret = jwt_secret(settings)
    if not settings.jwt.secret_is_base64 or settings.jwt.shared_secret is None:
        return secret.encode()
    plain = secret.strip().replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError as error:
        raise ValueError("it is not base64, and MONOHULL_JWT_SECRET_IS_BASE64 says so") from error


def build_authenticator(
    runtime: Runtime, codec: TokenCodec, ring: KeyRing, presenters: Presenters, denylist: Denylist
) -> TokenAuthenticator:
    """Return the authenticator, with its cache's figures among the metrics."""
    cache: TokenCache[Principal] = TokenCache(runtime.settings.jwt.cache_max_entries)
    try:
        authenticator = TokenAuthenticator(
            codec,
            role_claim_key=runtime.settings.jwt.role_claim_key,
            anonymous_role=lambda: runtime.authentication.anonymous.role,
            cache=cache,
            presenters=presenters,
            denylist=denylist,
            legacy=LegacyKeys(runtime.metrics, presenters, accepts=runtime.settings.jwt.legacy_keys),
        )
    except ValueError as error:
        raise _fault(runtime.settings, "MONOHULL_JWT_ROLE_CLAIM_KEY", str(error)) from error
    ring.on_change(cache.clear)
    sample = runtime.metrics.sample
    sample(metrics.CACHE_ENTRIES, lambda: len(cache))
    sample(metrics.CACHE_HITS, lambda: cache.hits)
    sample(metrics.CACHE_MISSES, lambda: cache.misses)
    sample(metrics.DENYLIST_ENTRIES, lambda: len(denylist))
    return authenticator


def _fault(settings: Settings, variable: str, message: str) -> SettingsError:
    return SettingsError([SettingsFault(variable, settings.sources.get(variable, "default"), message)])


def keys_cli() -> click.Group:
    """Return what this module adds to ``monohull keys``."""
    from modules.auth.keys.cli import signing_keys  # noqa: PLC0415 start-up time

    return signing_keys


def auth_cli() -> click.Group:
    """Return ``monohull auth``."""
    from modules.auth.intake.cli import auth  # noqa: PLC0415 start-up time

    return auth


module = Module(
    name="auth",
    settings=AuthSettings,
    weaknesses=weaknesses,
    events=(
        UserSignedUp,
        UserSignedIn,
        TokenRefreshed,
        TokenReuseDetected,
        UserSignedOut,
        SignInFailed,
        SignInRefused,
        UserUpdated,
        SigningKeysRotated,
        SigningKeyRetired,
        *FLOW_EVENTS,
        *FACTOR_EVENTS,
        *PASSKEY_EVENTS,
        *OAUTH_EVENTS,
        *SSO_EVENTS,
    ),
    jobs=(*JOBS, prune_revocations),
    cron=(*CRON, Cron(job=prune_revocations, schedule="41 3 * * *")),
    cli={"keys": keys_cli, "auth": auth_cli},
    subscribers=SUBSCRIBERS,
    metrics=metrics.METRICS,
    permissions=PERMISSIONS,
    parts=parts,
    seed=seed_users,
)
