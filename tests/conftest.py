"""Markers and services only; a fixture lives beside the tests that use it."""

from __future__ import annotations

import gc
import inspect
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.patience import PATIENCE_SECONDS, PATIENT
from tests.services import Services, start_services

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["tests.brokers"]

SERVICES = pytest.StashKey[Services]()

PATIENT_PLACES = (
    "modules.api_keys.quotas.TIMEOUT_SECONDS",
    "modules.auth.lockout.TIMEOUT_SECONDS",
    "modules.query.live.FIRST_READ_SECONDS",
    "modules.rest.config.FIRST_READ_SECONDS",
    "monohull.kernel.database.dial.CONNECT_TIMEOUT_SECONDS",
    "monohull.kernel.database.engine.CONNECT_TIMEOUT_SECONDS",
    "monohull.kernel.database.listen.CONNECT_TIMEOUT_SECONDS",
    "monohull.kernel.database.listen.LEND_SECONDS",
    "monohull.kernel.database.pool.SETTLE_SECONDS",
    "monohull.kernel.ratelimit.TAKE_TIMEOUT_SECONDS",
)
"""Where the product says how long it waits for PostgreSQL or Redis."""

# how fast an example runs says more about the machine than about the code
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def _start(config: pytest.Config) -> Services:
    """Start the session's servers once, in whichever process asks first."""
    if SERVICES not in config.stash:
        folder = tempfile.TemporaryDirectory(prefix="monohull-tests-", ignore_cleanup_errors=True)
        config.stash[SERVICES] = services = start_services(Path(folder.name))
        config.add_cleanup(folder.cleanup)
        config.add_cleanup(services.stop)
    return config.stash[SERVICES]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Under xdist the controller starts the servers and hands their addresses to the workers."""
    services = _start(node.config)
    node.workerinput["postgres_url"] = services.postgres_url
    node.workerinput["redis_url"] = services.redis_url


def pytest_configure() -> None:
    """Have the garbage collector look seldom: what is loaded now stays, and what tests make dies young."""
    gc.set_threshold(50_000, 20, 50)


def pytest_collection_finish() -> None:
    """Have the garbage collector look at what tests make, and not at all modules again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _patient_product() -> Iterator[None]:
    """Let servers that are there, and slow, be waited for: how soon they answer says what the machine does.

    Tests of these limits set their own.
    """
    # not before coverage is measured
    from modules.query import LiveCatalog  # noqa: PLC0415
    from monohull.kernel.broker import Broker  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as patch:
        for place in PATIENT_PLACES:
            patch.setattr(place, PATIENCE_SECONDS)
        patch.setattr("monohull.kernel.redis_connection.TIMEOUTS", PATIENT)
        waiting: tuple[Any, ...] = (LiveCatalog.refreshed, inspect.unwrap(Broker.subscribe))
        for method in waiting:
            patch.setitem(method.__kwdefaults__, "timeout_seconds", PATIENCE_SECONDS)
        yield


@pytest.fixture(scope="session")
def services(request: pytest.FixtureRequest) -> Iterator[Services]:
    """Addresses of a real PostgreSQL (superuser) and a real Redis."""
    handed: dict[str, str] | None = getattr(request.config, "workerinput", None)
    if handed is None:
        yield _start(request.config)
    else:
        yield Services(handed["postgres_url"], handed["redis_url"], lambda: None)


@pytest.fixture(scope="session")
def worker_number(request: pytest.FixtureRequest) -> int:
    """0 without xdist, else the worker's number from 1: for names of databases and Redis databases."""
    handed: dict[str, str] | None = getattr(request.config, "workerinput", None)
    return 0 if handed is None else int(handed["workerid"].removeprefix("gw")) + 1
