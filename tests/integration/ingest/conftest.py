"""One application for all tests of a file: each makes tables and sources of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.integration.auth.conftest import shared_connections  # noqa: F401 found by name
from tests.integration.ingest.desk import Desk, open_desk
from tests.integration.ingest.senders import KafkaSender, NatsSender, RabbitMqSender, RedisSender

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections
    from tests.integration.ingest.senders import Sender

BROKERS = [
    "redis",
    pytest.param("nats", marks=pytest.mark.broker),
    pytest.param("kafka", marks=pytest.mark.broker),
    pytest.param("rabbitmq", marks=pytest.mark.broker),
]
SENDERS = {"nats": NatsSender, "kafka": KafkaSender, "rabbitmq": RabbitMqSender}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(shared_connections: Connections) -> AsyncIterator[Desk]:  # noqa: F811 as pytest has it
    async with open_desk(shared_connections) as desk:
        yield desk


@pytest.fixture
def redis_sender(shared_connections: Connections) -> RedisSender:  # noqa: F811 as pytest has it
    return RedisSender(shared_connections.redis_url)


@pytest.fixture(params=BROKERS)
def sender(request: pytest.FixtureRequest, redis_sender: RedisSender) -> Sender:
    """Each kind of broker."""
    if request.param == "redis":
        return redis_sender
    made: Sender = SENDERS[request.param](request.getfixturevalue(request.param))
    return made
