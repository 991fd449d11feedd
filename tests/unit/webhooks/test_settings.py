"""Defaults and limits that have to fit each other."""

from __future__ import annotations

import msgspec
import pytest

from modules.webhooks.dtos import CreateEndpoint
from modules.webhooks.settings import WebhooksSettings
from monohull.kernel.outbound.client import MAX_CONNECTIONS


def test_a_worker_sends_no_more_than_it_has_connections_for() -> None:
    """What waits for a connection would fail after five seconds, as if the endpoint had."""
    assert WebhooksSettings().concurrency < MAX_CONNECTIONS
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"concurrency": MAX_CONNECTIONS}, WebhooksSettings)


def test_attempts_end() -> None:
    assert CreateEndpoint(name="one", url="https://example.com").max_attempts == 50
