"""Whose bucket a request is counted in, and who is never refused."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from modules.rest.gate import Gate
from monohull.kernel import clock
from monohull.kernel.authentication import Credentials
from monohull.kernel.errors import RateLimited
from monohull.kernel.header_sets import HeaderSet
from monohull.kernel.principal import Principal, PrincipalKind, anonymous
from monohull.kernel.ratelimit import RateLimits

NOBODY = anonymous("anon")
SERVICE = Principal(kind=PrincipalKind.SERVICE, role="service_role", claims={"role": "service_role"})


def user(subject: str) -> Principal:
    return Principal(kind=PrincipalKind.USER, role="authenticated", subject=subject)


def asked(peer: str | None, *, address: str | None = None, **headers: str) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {
        "client": None if peer is None else (peer, 1),
        "headers": pairs,
        "state": {"address": address or peer, "headers": HeaderSet(pairs, dict(pairs), Credentials())},
    }


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Ten tokens, and one more each second, of which none passes; nothing is told to Redis."""
    now = clock.monotonic_seconds()
    monkeypatch.setattr("monohull.kernel.allowance.monotonic_seconds", lambda: now)
    return Gate(RateLimits(Redis()), per_minute=60)


def passed(gate: Gate, principal: Principal, scope: dict[str, Any], times: int = 30) -> int:
    count = 0
    for _ in range(times):
        try:
            gate.admit(principal, scope)
        except RateLimited:
            continue
        count += 1
    return count


def test_a_user_has_one_bucket_wherever_it_comes_from(gate: Gate) -> None:
    assert passed(gate, user("a"), asked("203.0.113.1")) == 10
    assert passed(gate, user("a"), asked("203.0.113.2")) == 0
    assert passed(gate, user("b"), asked("203.0.113.1")) == 10


def test_without_a_user_the_address_counts(gate: Gate) -> None:
    assert passed(gate, NOBODY, asked("203.0.113.1")) == 10
    assert passed(gate, NOBODY, asked("203.0.113.2")) == 10
    assert passed(gate, NOBODY, asked("10.0.0.1", address="203.0.113.2")) == 0


def test_a_subject_cannot_be_an_address(gate: Gate) -> None:
    assert passed(gate, user("203.0.113.1"), asked("198.51.100.1")) == 10
    assert passed(gate, NOBODY, asked("203.0.113.1")) == 10


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", None])
def test_this_machine_is_never_refused(gate: Gate, peer: str | None) -> None:
    assert passed(gate, NOBODY, asked(peer)) == 30
    assert passed(gate, user("a"), asked(peer)) == 30


def test_a_proxy_on_this_machine_is_not_this_machine(gate: Gate) -> None:
    assert passed(gate, NOBODY, asked("127.0.0.1", x_forwarded_for="203.0.113.1")) == 10
    assert passed(gate, user("a"), asked("127.0.0.1", address="203.0.113.1", forwarded="for=x")) == 10


def test_a_client_cannot_say_that_it_is_this_machine(gate: Gate) -> None:
    assert passed(gate, NOBODY, asked("203.0.113.1", x_forwarded_for="127.0.0.1")) == 10


def test_the_operators_back_end_is_never_refused(gate: Gate) -> None:
    assert passed(gate, SERVICE, asked("203.0.113.1")) == 30
    assert passed(gate, NOBODY, asked("203.0.113.1")) == 10, "and takes from nobody"


def test_a_refusal_says_when_to_come_back(gate: Gate) -> None:
    passed(gate, user("a"), asked("203.0.113.1"))
    with pytest.raises(RateLimited) as refused:
        gate.admit(user("a"), asked("203.0.113.1"))
    assert refused.value.headers["Retry-After"] == "1"
    assert refused.value.headers["RateLimit-Policy"] == '"rest";q=10;w=10'


def test_zero_is_no_limit() -> None:
    assert passed(Gate(RateLimits(Redis()), per_minute=0), NOBODY, asked("203.0.113.1"), 1000) == 1000
