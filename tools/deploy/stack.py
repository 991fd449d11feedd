"""Write the stack file for Docker Swarm from ``deploy/compose.yaml``, so that the two cannot differ.

Swarm starts what it is given in any order and on any machine. What Compose says
of order goes, for the processes wait by themselves: the API answers 503 until
the migrations are applied. Instead each service learns how often it runs, how
it is replaced, and what happens when that fails.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
SOURCE: Final = DEPLOY / "compose.yaml"
TARGET: Final = DEPLOY / "stack.yaml"

HEADER: Final = """\
# Written by `make docs` from compose.yaml; change it there.
#
# Once, on a manager, after deploy/docker/make-secrets deploy/secrets:
#
#   for name in {names}; do
#       docker secret create monohull_$name deploy/secrets/$name; done
#   docker node update --label-add monohull.data=true NODE    # the one that keeps the volumes
#   docker stack deploy --compose-file deploy/stack.yaml monohull
"""

NOT_FOR_SWARM: Final = frozenset(
    {"build", "depends_on", "profiles", "restart", "security_opt", "shm_size", "tmpfs"}
)
ROLLING: Final = {"parallelism": 1, "order": "start-first"}
REPLACED: Final = {
    "replicas": 2,
    "update_config": {**ROLLING, "failure_action": "rollback", "monitor": "60s"},
    "rollback_config": ROLLING,
    "restart_policy": {"condition": "any", "delay": "5s"},
}
PINNED: Final = {
    "replicas": 1,
    "placement": {"constraints": ["node.labels.monohull.data == true"]},
    "update_config": {"order": "stop-first", "failure_action": "pause"},
    "restart_policy": {"condition": "any", "delay": "5s"},
}
ONCE: Final = {
    "mode": "replicated-job",
    # PostgreSQL may still be starting
    "restart_policy": {"condition": "on-failure", "delay": "5s", "max_attempts": 20},
}
RUNS: Final[dict[str, dict[str, Any]]] = {
    "api": REPLACED,
    "worker": REPLACED,
    "migrate": ONCE,
    "postgres": PINNED,
    "redis": PINNED,
}


def stack(compose: dict[str, Any]) -> dict[str, Any]:
    """Return what Swarm is given: every service that no profile keeps back."""
    services = {
        name: service(name, found) for name, found in compose["services"].items() if not found.get("profiles")
    }
    used = {key: _used(services.values(), key) for key in ("networks", "volumes", "secrets")}
    return {
        "services": services,
        "networks": {name: {"driver": "overlay"} for name in compose["networks"] if name in used["networks"]},
        "volumes": {name: {} for name in compose["volumes"] if name in used["volumes"]},
        "secrets": {
            name: {"external": True, "name": f"monohull_{name}"}
            for name in compose["secrets"]
            if name in used["secrets"]
        },
    }


def service(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return one service in Swarm's terms."""
    kept = {key: value for key, value in found.items() if key not in NOT_FOR_SWARM}
    kept["deploy"] = {**RUNS[name], **found["deploy"]}
    # the mesh publishes on every node; an address of one of them means nothing to it
    if "ports" in kept:
        kept["ports"] = [":".join(port.rsplit(":", 2)[-2:]) for port in kept["ports"]]
    # Swarm kills what is not healthy: an API whose Redis is away answers what it can and has to stay
    if found.get("healthcheck", {}).get("test") == ["CMD", "healthcheck", "ready"]:
        kept["healthcheck"] = {**found["healthcheck"], "test": ["CMD", "healthcheck", "startup"]}
    mounts = [_tmpfs(text) for text in found.get("tmpfs", ())]
    if "shm_size" in found:
        mounts.append(_tmpfs(f"/dev/shm:size={found['shm_size']}"))  # noqa: S108 a mount in a container
    if mounts:
        kept["volumes"] = [*kept.get("volumes", ()), *mounts]
    return kept


def _tmpfs(text: str) -> dict[str, Any]:
    """Return a mount for Compose's ``/tmp:size=64m,mode=1777``."""
    target, _, options = text.partition(":")
    size = dict(option.split("=") for option in options.split(","))["size"]
    mebibytes = int(size.removesuffix("m"))
    return {"type": "tmpfs", "target": target, "tmpfs": {"size": mebibytes * 1024 * 1024}}


def _used(services: Any, key: str) -> set[str]:
    names: set[str] = set()
    for one in services:
        for entry in one.get(key, ()):
            if isinstance(entry, dict):
                names.add(str(entry.get("source", "")))
            else:
                names.add(entry.split(":")[0])
    return names


class _Plain(yaml.SafeDumper):
    """Without anchors, which make a generated file harder to read than what it repeats."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 PyYAML's signature
        return True


def render() -> str:
    """Return the text of the stack file."""
    made = stack(yaml.safe_load(SOURCE.read_text(encoding="utf-8")))
    header = HEADER.format(names=" ".join(made["secrets"]))
    body = yaml.dump(made, Dumper=_Plain, sort_keys=False, width=110)
    return f"{header}\n{body}"
