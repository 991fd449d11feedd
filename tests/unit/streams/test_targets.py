"""Targets: what is shown of them, and that passwords are not."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from modules.streams.delivering import describe
from modules.streams.errors import SinkInvalid
from modules.streams.services.rules import demand_target
from modules.streams.targets import Target, address_of, secrets_of, shown

SECRET = "hush-hush"
TARGETS: list[dict[str, Any]] = [
    {"redis_stream": {"url": f"redis://me:{SECRET}@host:6379/1"}},
    {"redis_pubsub": {"url": f"redis+sentinel://host/main?sentinel_password={SECRET}"}},
    {"rabbitmq": {"url": f"amqps://me:{SECRET}@host/shop"}},
    {"nats": {"url": f"nats://{SECRET}@host"}},
    {"nats": {"url": "nats://host", "token": SECRET}},
    {"kafka": {"brokers": ["a:9092", "b:9092"], "mechanism": "PLAIN", "username": "me", "password": SECRET}},
    {"kinesis": {"region": "eu-west-1", "stream": "s", "access_key_id": "a", "secret_access_key": SECRET}},
]


@pytest.mark.parametrize("given", TARGETS, ids=lambda given: next(iter(given)))
def test_secrets_are_not_shown(given: dict[str, Any]) -> None:
    target = msgspec.convert(given, Target)
    demand_target(target, "structured")
    assert SECRET in secrets_of(target)
    text = json.dumps(shown(target))
    assert SECRET not in text
    assert "***" in text
    assert SECRET not in address_of(target)
    assert SECRET not in describe(OSError(f"cannot reach {SECRET}"), secrets_of(target))
    with pytest.raises(SinkInvalid, match="true one"):
        demand_target(msgspec.convert(shown(target), Target), "structured")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"redis_stream": {"url": "http://host"}}, "must start with"),
    ({"redis_stream": {"url": "redis+cluster://host"}}, "cluster"),
    ({"redis_stream": {"url": "redis://host", "stream": "a{b}"}}, "braces"),
    ({"rabbitmq": {"url": "http://host"}}, "amqp"),
    ({"rabbitmq": {"url": "amqp://host:99999999"}}, "amqp"),
    ({"nats": {"url": "nats://host", "subject": "a..b"}}, "empty parts"),
    ({"kafka": {"brokers": ["a:1"], "topic": "a/b"}}, "topic"),
    ({"kafka": {"brokers": ["a:70000"]}}, "65535"),
    ({"kafka": {"brokers": ["a:1"], "username": "me"}}, "come together"),
    ({"kafka": {"brokers": ["a:1"], "ca_certificates": "x"}}, "has_tls"),
    ({"kafka": {"brokers": ["a:1"], "has_tls": True, "ca_certificates": "x"}}, "PEM"),
    ({"kinesis": {"region": "r", "stream": "s", "access_key_id": "a"}}, "come together"),
    ({"kinesis": {"region": "r", "stream": "s", "endpoint_url": "ftp://x"}}, "http"),
]


@pytest.mark.parametrize(("given", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_no_broker_could_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(SinkInvalid, match=said):
        demand_target(msgspec.convert(given, Target), "structured")


def test_headers_need_a_broker_that_has_them() -> None:
    target = msgspec.convert({"redis_pubsub": {"url": "redis://host"}}, Target)
    with pytest.raises(SinkInvalid, match="no headers"):
        demand_target(target, "binary")


@pytest.mark.parametrize("given", [{}, TARGETS[0] | TARGETS[2]], ids=["none", "two"])
def test_a_target_is_one(given: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match="exactly one"):
        msgspec.convert(given, Target)
