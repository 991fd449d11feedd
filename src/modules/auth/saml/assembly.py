"""Put single sign-on together; while it is off, each of its routes says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modules.auth.limits import WINDOW_SECONDS
from modules.auth.redirects import Redirects
from modules.auth.saml.keys import ServiceKey
from modules.auth.saml.metadata import Service, write_metadata
from modules.auth.saml.providers import Organisations
from modules.auth.saml.sign_on import Ourselves, SignOn
from modules.auth.settings import AuthSettings
from modules.auth.sso_errors import SamlDisabled
from monohull.kernel.ratelimit import Limit
from monohull.kernel.settings import SettingsError, SettingsFault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from modules.auth.origin import Origin
    from modules.auth.services import SessionIssuer
    from monohull.kernel.ratelimit import RateLimits
    from monohull.kernel.runtime import Runtime
    from monohull.kernel.settings import Settings


class SamlMetadata:
    """Our own metadata, written once."""

    def __init__(self, xml: bytes) -> None:
        self.xml = xml


class SamlGate:
    """How often one address may sign on."""

    def __init__(self, limits: RateLimits, settings: AuthSettings) -> None:
        rate = settings.saml_rate_limit_assertion
        self._limits = limits
        self._limit = Limit("auth.saml", max(1, int(rate)), rate / WINDOW_SECONDS)

    async def admit(self, origin: Origin) -> None:
        """Count an attempt.

        Raises:
            RateLimited: 429. RedisUnavailable: 503.
        """
        await self._limits.enforce(self._limit, origin.network)


def build_saml(runtime: Runtime, issuer: SessionIssuer, *, url: str) -> Mapping[str, Callable[[], Any]]:
    """Return the dependencies of its controllers.

    Args:
        runtime: Of the process.
        issuer: Opens sessions.
        url: Of the wire, below which our addresses are.

    Raises:
        SettingsError: The private key cannot be used, or is missing where it is needed.
    """
    settings = runtime.settings.of(AuthSettings)
    key = service_key(runtime.settings)
    decrypts = settings.saml_allow_encrypted_assertions
    if decrypts and key is None:
        raise _fault(
            runtime.settings, "ALLOW_ENCRYPTED_ASSERTIONS", "it takes MONOHULL_AUTH_SAML_PRIVATE_KEY"
        )
    service = Service(entity_id=f"{url}/sso/saml/metadata", acs_url=f"{url}/sso/saml/acs")
    site_url = settings.site_url or runtime.settings.core.public_url
    ourselves = Ourselves(service, key, Redirects(site_url, settings.uri_allow_list))
    parts: dict[str, Any] = {
        "saml_gate": SamlGate(runtime.limits, settings),
        "saml_metadata": SamlMetadata(write_metadata(service, key, decrypts=decrypts)),
        "saml_organisations": Organisations(runtime.database, runtime.outbound),
        "saml_sign_on": SignOn(runtime.database, issuer, settings, ourselves),
    }
    return {name: _giving(part, settings.saml_enabled) for name, part in parts.items()}


def service_key(settings: Settings) -> ServiceKey | None:
    """Return the key that signs our requests, if there is one.

    Raises:
        SettingsError: It cannot be used.
    """
    secret = settings.of(AuthSettings).saml_private_key
    if secret is None:
        return None
    try:
        return ServiceKey(str(secret))
    except ValueError as error:
        raise _fault(settings, "PRIVATE_KEY", str(error)) from error


def _fault(settings: Settings, name: str, text: str) -> SettingsError:
    variable = f"MONOHULL_AUTH_SAML_{name}"
    source = settings.sources.get(variable, "default")
    return SettingsError([SettingsFault(variable, source, text)])


def _giving(part: Any, is_enabled: bool) -> Callable[[], Any]:
    def give() -> Any:
        if not is_enabled:
            raise SamlDisabled
        return part

    return give
