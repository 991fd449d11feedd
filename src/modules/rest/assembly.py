"""The data API of one process, put together once for everybody who asks for it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from modules.query import live_catalog
from modules.rest.around import Around
from modules.rest.asgi import DataApi
from modules.rest.batch import Batch, BatchAnswered, batch_metrics
from modules.rest.cache.assembly import build_cache
from modules.rest.conditional import ConditionMet, condition_metrics
from modules.rest.config import Config, LiveConfig, Surroundings, read_app_settings
from modules.rest.description.serving import DocumentAnswered, Documents, document_metrics
from modules.rest.gate import Gate
from modules.rest.guard import Guard, GuardAsked, QueryRefused, guard_metrics
from modules.rest.head import PREFIX
from modules.rest.idempotency import IdempotentWrite, Once, idempotency_metrics
from modules.rest.nested_write import NestedWritten, nested_metrics
from modules.rest.paging import Cursors, PageGiven, page_metrics
from modules.rest.settings import RestSettings
from monohull.kernel import outbox
from monohull.kernel.home import jwt_secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.events import Event
    from monohull.kernel.runtime import Runtime


class DataService:
    """The data API and what keeps it up to date.

    Attributes:
        api: Answers requests.
        config: Reads the configuration in the database.
        gate: Counts requests.
        cache: Answers reads of marked tables again.
    """

    def __init__(self, runtime: Runtime) -> None:
        settings, observer = runtime.settings.of(RestSettings), runtime.observer
        core = runtime.settings.core
        if settings.anon_role is not None:
            runtime.authentication.use_anonymous_role(settings.anon_role)
        if not settings.prepared_statements:
            runtime.data.keep_nothing_prepared()
        self._live = live_catalog(runtime)
        app_settings = read_app_settings(runtime.settings.free)
        self.gate = Gate(runtime.limits, settings.rate_limit)

        async def publish(event: Event) -> None:
            async with runtime.database.unit_of_work() as work:
                await outbox.publish(work, event)

        demands_key = settings.demands_key(is_production=core.is_production)
        self.cache = build_cache(runtime, settings, self._live)
        once = Once(runtime.data, settings.idempotency_seconds, observer)
        self.api = api = DataApi(
            Config(settings, {}, app_settings),
            self._live,
            runtime.data,
            Surroundings(
                address=core.public_url.rstrip("/") + PREFIX,
                demands_key=demands_key,
                is_development=core.env == "development",
            ),
            self.gate,
            publish,
            observer,
            Around(runtime.data, once, observer),
            Batch(runtime.data, once, observer),
            Cursors(jwt_secret(runtime.settings), observer),
            Documents(self._live, observer, demands_key=demands_key),
            Guard(observer),
            self.cache,
        )
        observer.add_reader(idempotency_metrics(runtime.metrics), IdempotentWrite)
        observer.add_reader(batch_metrics(runtime.metrics), BatchAnswered)
        observer.add_reader(condition_metrics(runtime.metrics), ConditionMet)
        observer.add_reader(nested_metrics(runtime.metrics), NestedWritten)
        observer.add_reader(document_metrics(runtime.metrics), DocumentAnswered)
        observer.add_reader(page_metrics(runtime.metrics), PageGiven)
        observer.add_reader(guard_metrics(runtime.metrics), GuardAsked, QueryRefused)
        authentication = runtime.authentication

        def configure(config: Config) -> None:
            if config.settings.anon_role is not None:
                authentication.use_anonymous_role(config.settings.anon_role)
            api.configure(config)

        self.config = LiveConfig(settings, app_settings, runtime.data, configure, observer)
        self._live.on_reconfigured(self.config.request_reload)

    @asynccontextmanager
    async def standing_by(self) -> AsyncIterator[DataApi]:
        """Keep catalog and configuration fresh while the block runs, for commands that serve nobody."""
        async with self._live.running(is_patient=True), self.config.running():
            yield self.api


_BY_RUNTIME: WeakKeyDictionary[Runtime, DataService] = WeakKeyDictionary()


def data_service(runtime: Runtime) -> DataService:
    """Return the one data API of a process."""
    service = _BY_RUNTIME.get(runtime)
    if service is None:
        service = _BY_RUNTIME[runtime] = DataService(runtime)
    return service
