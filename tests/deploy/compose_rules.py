"""Our rules for the services of Compose and of the stack. Each yields a sentence for what breaks it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from monohull.cli.serve import KILL_AFTER_DRAIN_SECONDS
from tools.deploy.write import secret_settings

Compose: TypeAlias = dict[str, Any]
Rule: TypeAlias = Callable[[Compose], Iterator[str]]

OURS: Final = ("migrate", "api", "worker")
SECRETS: Final = "/run/secrets/"
PASSWORD: Final = re.compile(r"(?i)(password|secret|token)$|://[^/@\s]*:[^/@\s]+@")


def pinned(compose: Compose) -> Iterator[str]:
    """No image whose content may change under its name."""
    for name, service in compose["services"].items():
        image = re.sub(r"\$\{[A-Z_]+:-(.*)\}", r"\1", service["image"])
        if image.rpartition("/")[2].partition(":")[2] in ("", "latest"):
            yield f"{name} runs {image}"


def limited(compose: Compose) -> Iterator[str]:
    """Every service says what it may take."""
    for name, service in compose["services"].items():
        limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
        yield from (
            f"{name} has no limit of {what}" for what in ("cpus", "memory", "pids") if what not in limits
        )


def confined(compose: Compose) -> Iterator[str]:
    """Our processes write nowhere; nobody has more rights than it needs."""
    for name, service in compose["services"].items():
        if service.get("cap_drop") != ["ALL"]:
            yield f"{name} keeps capabilities"
        if service.get("privileged") or service.get("network_mode") == "host":
            yield f"{name} is not confined"
        if name in OURS and (service.get("read_only") is not True or "user" in service):
            yield f"{name} may write to its root file system, or has another user than the image's"


def secrets_in_files(compose: Compose) -> Iterator[str]:
    """No secret in a variable, and each file that is named is given."""
    hidden = set(secret_settings())
    for name, service in compose["services"].items():
        given = {
            one.get("target", one["source"]) if isinstance(one, dict) else one
            for one in service.get("secrets", ())
        }
        for variable, value in service.get("environment", {}).items():
            if str(value).startswith(SECRETS):
                if value.removeprefix(SECRETS) not in given:
                    yield f"{name} looks for {value}, which it is not given"
            elif variable in hidden or PASSWORD.search(variable) or PASSWORD.search(str(value)):
                yield f"{name} has a secret in {variable}"
    wanted = {n for s in compose["services"].values() for n in _sources(s)}
    yield from (f"{name} is given to nobody" for name in sorted(set(compose["secrets"]) - wanted))
    yield from (f"there is no secret {name}" for name in sorted(wanted - set(compose["secrets"])))


def _sources(service: Compose) -> Iterator[str]:
    for one in service.get("secrets", ()):
        yield one["source"] if isinstance(one, dict) else one


def ordered(compose: Compose) -> Iterator[str]:
    """What is waited for can say that it is there, and API and worker wait for the migrations."""
    services = compose["services"]
    for name, service in services.items():
        waits = service.get("depends_on", {})
        for other, how in waits.items() if isinstance(waits, dict) else ():
            if how["condition"] == "service_healthy" and "healthcheck" not in services[other]:
                yield f"{name} waits for the health of {other}, which has none"
        if name in ("api", "worker"):
            found = waits.get("migrate", {}).get("condition")
            if found != "service_completed_successfully" or not {"postgres", "redis"} <= set(waits):
                yield f"{name} does not wait for what it needs"


def drains(compose: Compose) -> Iterator[str]:
    """A container gets the time that its process takes to stop."""
    for name in ("api", "worker"):
        service = compose["services"][name]
        waits = ["MONOHULL_DRAIN_SECONDS", *(["MONOHULL_LAME_DUCK_SECONDS"] if name == "api" else [])]
        drain = sum(float(service["environment"][setting]) for setting in waits)
        grace = float(service.get("stop_grace_period", "10s").removesuffix("s"))
        if grace < drain + KILL_AFTER_DRAIN_SECONDS + 2:
            yield f"{name} is killed before it has drained"


def ports(compose: Compose) -> Iterator[str]:
    """The public port is the contract's; nothing else leaves the machine."""
    for name, service in compose["services"].items():
        for port in service.get("ports", ()):
            inner = port.rpartition(":")[2]
            if name == "api" and inner != "8000":
                yield f"api does not answer on {inner}"
            if name in ("postgres", "redis", "worker", "migrate"):
                yield f"{name} is published"


ALL: Final[tuple[Rule, ...]] = (pinned, limited, confined, secrets_in_files, ordered, drains, ports)
SWARM: Final[tuple[Rule, ...]] = (pinned, limited, confined, secrets_in_files, drains, ports)
