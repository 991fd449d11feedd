from __future__ import annotations

import msgspec
import pytest

from modules.ingest.origins import Origin, address_of, secrets_of, shown

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("origin", "address"),
    [
        (
            {"kafka": {"brokers": ["a:1", "b:2"], "topic": "t", "username": "me", "password": SECRET}},
            "a:1,b:2 t",
        ),
        ({"rabbitmq": {"url": f"amqp://me:{SECRET}@h:5672/v", "queue": "q"}}, "amqp://me:***@h:5672/v q"),
        ({"nats": {"url": f"nats://{SECRET}@h", "stream": "S"}}, "nats://***@h S"),
        ({"nats": {"url": "nats://h", "stream": "S", "token": SECRET}}, "nats://h S"),
        (
            {"redis_stream": {"url": f"redis+sentinel://h/s?sentinel_password={SECRET}", "stream": "x"}},
            "redis+sentinel://h/s?sentinel_password=*** x",
        ),
    ],
    ids=["kafka", "rabbitmq", "nats", "nats token", "sentinel"],
)
def test_nothing_secret_is_shown(origin: dict[str, object], address: str) -> None:
    made = msgspec.convert(origin, Origin)
    assert address_of(made) == address
    assert SECRET not in str(shown(made))
    assert "***" in str(shown(made))
    assert secrets_of(made) == {SECRET}


def test_an_escaped_password_is_known_in_both_forms() -> None:
    made = msgspec.convert({"rabbitmq": {"url": "amqp://me:a%40b@h", "queue": "q"}}, Origin)
    assert secrets_of(made) == {"a%40b", "a@b"}
