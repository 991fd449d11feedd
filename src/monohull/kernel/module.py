"""`Module`: the plug by which a feature joins the product, and how plugs are put in order.

``modules/x/module.py`` holds ``module = Module(...)``: declarations, no work.
`Module.parts` is called once a process, with its `Runtime`, and returns what the
feature contributes there. Modules are imported by dotted name from here alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from monohull.kernel.refusals import WrongSetup

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import click
    from litestar import Router
    from sqlalchemy.ext.asyncio import AsyncSession

    from monohull.kernel.asgi import ASGIApp, ProblemRenderer
    from monohull.kernel.authentication import Authenticator
    from monohull.kernel.cors import Cors
    from monohull.kernel.events import Event, Subscriber
    from monohull.kernel.grants import GrantSource
    from monohull.kernel.health import Check
    from monohull.kernel.metric import Metric
    from monohull.kernel.permissions import Family, Permission
    from monohull.kernel.queues import Cron, Job


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a module contributes to one running process.

    Attributes:
        routers: Litestar routers, each with its path and exception handlers.
        mounts: Raw ASGI applications by path prefix, served in front of Litestar.
        dependencies: Values for `NamedDependency` parameters, by name.
        renderers: How problems look below a path prefix, for wires with a shape of their own.
        cors: What browsers are told below a path prefix, for wires with words of their own.
        authenticators: Asked in the order of the modules until one knows the credential.
        grants: Says what principals hold; one module may.
        checks: Joined to ``/health/ready``.
        lifespans: Entered before the process is ready and left in reverse when it stops.
        at_root: A path prefix whose routes are answered at the root too, where nothing else has the address.
    """

    routers: Sequence[Router] = ()
    mounts: Mapping[str, ASGIApp] = {}
    dependencies: Mapping[str, Callable[..., Any]] = {}
    renderers: Mapping[str, ProblemRenderer] = {}
    cors: Mapping[str, Cors] = {}
    authenticators: Sequence[Authenticator] = ()
    grants: GrantSource | None = None
    checks: Sequence[Check] = ()
    lifespans: Sequence[Callable[[], AbstractAsyncContextManager[None]]] = ()
    at_root: str | None = None


PartsFactory: TypeAlias = Callable[[Any], Parts]
"""Given the process' `Runtime`, which is untyped here because it stands above this file."""

InWorker: TypeAlias = "Callable[[Any], AbstractAsyncContextManager[None]]"
"""Given the worker's `Runtime`; for what is done all the time and by one process, not once a minute."""

Sampled: TypeAlias = Callable[[Any], None]
"""Given the process' `Runtime`."""

Look: TypeAlias = Callable[[Any], Awaitable[Any]]
"""Given the process' `Runtime`, returns a `Diagnosis`; both stand above this file."""

Weaknesses: TypeAlias = Callable[[Any], Iterable[Any]]
"""Given all `Settings`, yields a `Weak` for each of the module's own; both stand above this file."""

Work: TypeAlias = Callable[[], Awaitable[None]]
Seed: TypeAlias = "Callable[[AsyncSession, Mapping[str, Any]], Awaitable[object]]"


class Module(msgspec.Struct, frozen=True, kw_only=True):
    """What a feature declares, before any process runs.

    Attributes:
        name: Last part of the dotted name; unique.
        requires: Names of modules that must be loaded too, and before this one.
        settings: Frozen Struct with a class variable ``prefix``, or None.
        weaknesses: What production should not have of these settings.
        permissions: What this module's guards ask for.
        families: Families of permissions that it asks for.
        events: Events this module publishes.
        subscribers: What it does when an event is relayed (in the worker).
        jobs: What the worker runs for it.
        cron: When the worker runs a job by itself.
        cli: Gives click groups by the name of the verb, such as ``keys``. Groups of several modules
            under one name become one.
        parts: Builds what it contributes to a process.
        in_worker: Entered by each worker with its runtime, after everything is open, and left in reverse.
        looks: What ``monohull doctor`` looks at, by name.
        metrics: What it counts and shows; nothing else can be.
        sampled: Called once in each process with its runtime; says how the gauges of the module are read.
        seed: Writes the project's table ``[seed]`` into this module's tables. Called again when
            that table changed, so rows that are there already have to be left alone.
    """

    name: str
    requires: tuple[str, ...] = ()
    settings: type[msgspec.Struct] | None = None
    weaknesses: Weaknesses | None = None
    permissions: tuple[Permission, ...] = ()
    families: tuple[Family, ...] = ()
    events: tuple[type[Event], ...] = ()
    subscribers: tuple[Subscriber, ...] = ()
    jobs: tuple[Job, ...] = ()
    cron: tuple[Cron, ...] = ()
    cli: Mapping[str, Callable[[], click.Group]] = {}
    parts: PartsFactory | None = None
    in_worker: Sequence[InWorker] = ()
    looks: Mapping[str, Look] = {}
    metrics: tuple[Metric, ...] = ()
    sampled: Sampled | None = None
    seed: Seed | None = None


class ModuleError(WrongSetup):
    """The modules named in the configuration do not fit together."""


def load_modules(names: Iterable[str]) -> tuple[Module, ...]:
    """Import each ``<name>.module``, check the set and sort it by ``requires``.

    Raises:
        ModuleError: A name cannot be imported, has no ``module``, comes twice,
            requires one that is not loaded, or the requirements form a circle.
    """
    found: dict[str, Module] = {}
    for dotted in names:
        module = _import(dotted)
        if module.name in found:
            raise ModuleError(f"two modules are called {module.name!r}; the second is {dotted}")
        found[module.name] = module
    return tuple(found[name] for name in _sorted(found))


def _import(dotted: str) -> Module:
    if not all(part.isidentifier() for part in dotted.split(".")):
        raise ModuleError(f"{dotted!r} is no dotted name; write acme_billing or acme.billing")
    path = f"{dotted}.module"
    try:
        imported = import_module(path)
    except ModuleNotFoundError as error:
        if error.name is not None and (path == error.name or path.startswith(f"{error.name}.")):
            raise ModuleError(f"there is no module {dotted!r}: {path} cannot be imported") from error
        raise
    module = getattr(imported, "module", None)
    if not isinstance(module, Module):
        raise ModuleError(f"{path} has no `module = Module(...)`")
    return module


def _sorted(found: Mapping[str, Module]) -> list[str]:
    for module in found.values():
        for name in module.requires:
            if name not in found:
                raise ModuleError(f"module {module.name!r} requires {name!r}, which is not loaded")
    try:
        return list(TopologicalSorter({m.name: m.requires for m in found.values()}).static_order())
    except CycleError as error:
        raise ModuleError(f"modules require each other in a circle: {' → '.join(error.args[1])}") from error
