"""What ``monohull up`` prints when everything runs, and the question whether it does."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Final

import monohull
from monohull.kernel.home import jwt_secret

if TYPE_CHECKING:
    from monohull.kernel.home import Home
    from monohull.kernel.settings import CoreSettings, Settings
    from monohull.kernel.supervisor.plan import Plan

READY_PATH: Final = "/health/ready"
PROBE_SECONDS: Final = 5.0
EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 (looked up, not bound)


def local_host(core: CoreSettings) -> str:
    """Return the address under which this machine reaches its own API."""
    return EVERYWHERE.get(core.host, core.host)


def local_url(core: CoreSettings, port: int) -> str:
    """Return the API's address for this machine."""
    host = local_host(core)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def keys_of(settings: Settings, home: Home) -> tuple[str, str]:
    """Return the anon key and the service key: configured ones, else those derived from the secret."""
    from monohull.kernel.keys import legacy_key  # noqa: PLC0415 loads a library; API and worker start meanwhile

    secret = jwt_secret(settings, home)
    return (
        settings.core.anon_key or legacy_key(secret, "anon"),
        settings.core.service_key or legacy_key(secret, "service_role"),
    )


def probe(host: str, port: int) -> str | None:
    """Ask the API whether it is ready; return None when it is, else what it answered."""
    connection = http.client.HTTPConnection(host, port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", READY_PATH, headers={"Connection": "close"})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"no answer on port {port}: {error}"
    finally:
        connection.close()
    return None if answer.status == http.client.OK else f"{answer.status} {text}"


def ready_block(plan: Plan, url: str, seconds: float) -> str:
    """Return the text for a person who wants to send the first request."""
    anon, service = keys_of(plan.settings, plan.home)
    if plan.settings.core.is_production:
        shown = "`monohull keys show` prints it"
    else:
        shown = f"{service}\n               (passes row security: for servers, never for browsers)"
    lines = [
        "",
        f"Monohull {monohull.__version__} is ready after {seconds:.1f} s.",
        "",
        f"  URL          {url}",
        f"  Docs         {url}/docs",
        f"  Anon key     {anon}",
        f"  Service key  {shown}",
        f"  Home         {plan.home.path}",
        "",
    ]
    after = plan.after_start
    for name, value in (("url", url), ("anon_key", anon), ("service_key", service)):
        after = after.replace(f"{{{name}}}", value)
    return "\n".join([*lines, *([after.rstrip(), ""] if after else []), "Ctrl-C stops everything in order."])


def services_block(plan: Plan, seconds: float) -> str:
    """Return the text for a person who runs API and worker by other means."""
    return "\n".join(
        [
            "",
            f"The services of Monohull {monohull.__version__} run and are migrated after {seconds:.1f} s.",
            "",
            f"  Home         {plan.home.path}",
            f"  Addresses    monohull status --format env --home {plan.home.path}",
            "",
            "Ctrl-C stops them in order.",
        ]
    )
