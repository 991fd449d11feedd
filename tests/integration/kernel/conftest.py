"""A Redis of a test's own, to be stopped and started again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from monohull.kernel.embedded import EmbeddedRedis, discard

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    state = tmp_path_factory.mktemp("redis")
    server = EmbeddedRedis(state, password="own", durable=False)
    server.start()
    yield server
    server.stop()
    discard(state)


@pytest.fixture
def running_redis(own_redis: EmbeddedRedis) -> EmbeddedRedis:
    """The same server, up again when the test before took it down."""
    own_redis.start()
    return own_redis
