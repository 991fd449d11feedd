"""What the platform API answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from monohull.kernel.health import CheckResult


class Liveness(Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Struct, frozen=True):
    """Whether the process may get traffic, and which check says no."""

    status: Literal["ok", "unavailable"]
    checks: Mapping[str, CheckResult]


class ModuleInfo(Struct, frozen=True):
    """A loaded module."""

    name: str
    requires: tuple[str, ...]
    jobs: tuple[str, ...]
    events: tuple[str, ...]


class PlatformStatus(Struct, frozen=True):
    """What runs in the process that answered."""

    version: str
    env: str
    public_url: str
    data_login: str
    requests_in_flight: int
    modules: tuple[ModuleInfo, ...]


class Whoami(Struct, frozen=True):
    """The principal that a credential stands for."""

    kind: str
    role: str
    subject: str | None
    roles: tuple[str, ...]
    permissions: tuple[str, ...]
