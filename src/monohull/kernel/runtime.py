"""`Runtime`: what one running process shares, built once from the settings.

Built without touching the network, so that an application can be made, looked
at and tested with nothing running; `Runtime.running` opens everything in order
and closes it in reverse.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from monohull.kernel.authentication import Authentication
from monohull.kernel.broker import Broker
from monohull.kernel.counted import CountedEvents
from monohull.kernel.database import platform_version
from monohull.kernel.database.data import DataPool, data_pool
from monohull.kernel.database.engine import Database
from monohull.kernel.database.traced import TracedDataPool
from monohull.kernel.errors import Problem
from monohull.kernel.events import EventRegistry
from monohull.kernel.grants import Grants
from monohull.kernel.health import Check, Health
from monohull.kernel.home import jwt_secret
from monohull.kernel.lifecycle import Lifecycle
from monohull.kernel.logs import log_reader
from monohull.kernel.metrics import Metrics
from monohull.kernel.metrics_port import serve_metrics
from monohull.kernel.observation import Observer
from monohull.kernel.outbound import Outbound, destinations
from monohull.kernel.permissions import PermissionRegistry
from monohull.kernel.queues import Queues
from monohull.kernel.ratelimit import RateLimits
from monohull.kernel.redis_commands import trace_commands
from monohull.kernel.redis_connection import close_redis, open_redis, ping
from monohull.kernel.rows import ROW_EVENTS
from monohull.kernel.runtime_metrics import sample_runtime
from monohull.kernel.schema import SchemaState, SchemaWatch
from monohull.kernel.tracing import build_tracing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monohull.kernel.home import Connections
    from monohull.kernel.module import Module
    from monohull.kernel.settings import Settings


class Runtime:
    """The shared resources of one process.

    Args:
        settings: All settings of the process.
        modules: The loaded modules, in order.
        connections: Where PostgreSQL and Redis are.
        process: ``api``, ``worker`` or ``cli``; names connections and log lines.
    """

    def __init__(
        self, settings: Settings, modules: Sequence[Module], connections: Connections, *, process: str
    ) -> None:
        core = settings.core
        name = f"monohull-{process}"
        self.settings = settings
        self.modules = tuple(modules)
        self.connections = connections
        self.process = process
        self.metrics = Metrics(process, (metric for module in modules for metric in module.metrics))
        self.observer = Observer(self.metrics.read, log_reader())
        self.tracing = build_tracing(core, process=process, observer=self.observer)
        self.lifecycle = Lifecycle()
        self.health = Health()
        self.grants = Grants()
        self.authentication = Authentication(trusted_proxies=core.trusted_proxies, grants=self.grants)
        self.permissions = PermissionRegistry(
            (p for module in modules for p in module.permissions),
            (family for module in modules for family in module.families),
        )
        self.events = EventRegistry(
            (*ROW_EVENTS, *(event for module in modules for event in module.events)),
            (subscriber for module in modules for subscriber in module.subscribers),
        )
        self.database = Database(
            connections.owner_url,
            pool_size=core.pool_size,
            application_name=name,
            timeout_seconds=core.pool_timeout_seconds,
            observer=self.observer,
            tracing=self.tracing,
        )
        self.counted = CountedEvents(self.database, self.observer)
        # a login that somebody chose is used as it is: nobody with more rights stands in for it
        stand_in = connections.owner_url if core.database_authenticator_url is None else None
        self.data: DataPool = data_pool(
            connections,
            owner_url=stand_in,
            size=core.pool_size,
            timeout_seconds=core.pool_timeout_seconds,
            application_name=name,
            observer=self.observer,
            kind=partial(TracedDataPool, tracing=self.tracing) if self.tracing.reaches_sql else DataPool,
        )
        self.redis = open_redis(connections.redis_url, name=name)
        self.broker = Broker(self.redis, observer=self.observer)
        self.limits = RateLimits(self.redis, observer=self.observer, secret=jwt_secret(settings).encode())
        self.queues = Queues(
            connections.redis_url,
            jobs=[job for module in modules for job in module.jobs],
            name=f"{name}-queues",
            observer=self.observer,
        )
        if self.tracing.is_on:
            trace_commands(self.redis, self.tracing)
            trace_commands(self.queues.redis, self.tracing)
        self.outbound = Outbound(
            destinations(core.outbound_allowed), observer=self.observer, tracing=self.tracing
        )
        self.schema = SchemaWatch(self._schema_state, self.observer)
        self._wire()

    async def _schema_state(self) -> SchemaState:
        return await platform_version.schema_state(self.database)

    def _wire(self) -> None:
        self.health.add(Check("database", self._probe_database, timeout_seconds=2.0))
        self.health.add(Check("migrations", self.schema.probe, timeout_seconds=2.0))
        self.health.add(Check("redis", self.probe_redis, timeout_seconds=1.0))
        sample_runtime(self)
        if self.process != "cli":  # nobody scrapes a command
            for sampled in (module.sampled for module in self.modules):
                if sampled is not None:
                    sampled(self)
        for name, resource in (
            ("traces", self.tracing.running),
            ("database", self._open_database),
            ("counted events", self.counted.running),
            ("data pool", self.data.running),
            ("queues", self.queues.running),
            ("broker", self.broker.running),
            ("outbound", self.outbound.running),
            ("schema watch", self.schema.watching),
            ("metrics", self.metrics.sampling),
            ("metrics port", self._serve_metrics),
        ):
            self.lifecycle.add(name, resource)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Runtime]:
        """Open everything in order; close it in reverse. What is away now is opened when it is back."""
        try:
            async with self.lifecycle.running():
                yield self
        finally:
            await close_redis(self.redis)

    @asynccontextmanager
    async def _open_database(self) -> AsyncIterator[None]:
        """Connections open with the first unit of work, so that a database that is away delays no start."""
        try:
            yield
        finally:
            await self.database.close()

    def _serve_metrics(self) -> AbstractAsyncContextManager[None]:
        core = self.settings.core
        port = core.metrics_port if self.process != "cli" else None
        return serve_metrics(self.metrics, core.host, port)

    async def _probe_database(self) -> str | None:
        try:
            await self.database.open()
        except Problem as problem:
            return problem.message
        return None

    async def probe_redis(self) -> str | None:
        """Return what is wrong with Redis, or None."""
        return await ping(self.redis)
