"""What a limit is, what it says, and how it counts alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monohull.kernel import clock
from monohull.kernel.observation import DependencyBack, DependencyLost, Observation, Observer
from monohull.kernel.ratelimit import Breaker, Limit, LocalBuckets, decide, headers, per_minute

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def tick(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = 100.0

    def forward(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(clock, "monotonic_seconds", lambda: now)
    return forward


@pytest.mark.parametrize(
    "arguments", [("Auth", 1, 1), ("", 1, 1), ('a"b', 1, 1), ("a", 0, 1), ("a", 1, 0), ("a", 1, float("inf"))]
)
def test_a_limit_that_cannot_be_is_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="limit"):
        Limit(*arguments)


def test_per_minute() -> None:
    limit = per_minute("auth.token", 30)
    assert (limit.capacity, limit.refill_per_second, limit.window_seconds) == (30, 0.5, 60)
    assert per_minute("auth.token", 30, burst=5).window_seconds == 10


def test_headers_of_a_request_that_passed() -> None:
    decision = decide(Limit("default", 10, 10 / 60), 9.0, 1, allowed=True)
    assert headers(decision) == {
        "RateLimit": '"default";r=9;t=6',
        "RateLimit-Policy": '"default";q=10;w=60',
    }


def test_headers_of_a_refusal() -> None:
    decision = decide(Limit("default", 10, 10 / 60), 0.5, 1, allowed=False)
    assert headers(decision) == {
        "RateLimit": '"default";r=0;t=57',
        "RateLimit-Policy": '"default";q=10;w=60',
        "Retry-After": "3",
    }


@given(st.integers(1, 1000), st.floats(0.001, 1000), st.floats(0, 1), st.integers(1, 1000), st.booleans())
def test_figures_are_whole_and_never_negative(
    capacity: int, rate: float, fill: float, cost: int, allowed: bool
) -> None:
    decision = decide(Limit("x", capacity, rate), capacity * fill, cost, allowed=allowed)
    assert 0 <= decision.remaining <= capacity
    assert decision.reset_seconds >= 0
    assert (decision.retry_after_seconds == 0) is allowed


class TestLocalBuckets:
    def test_the_share_is_divided_among_processes(self, tick: Callable[[float], None]) -> None:
        buckets, limit = LocalBuckets(processes=4), Limit("x", 20, 4)
        assert [buckets.take(limit, "k", 1).allowed for _ in range(6)] == [True] * 5 + [False]
        tick(1)
        assert [buckets.take(limit, "k", 1).allowed for _ in range(2)] == [True, False]

    def test_each_process_has_one_token_at_least(self, tick: Callable[[float], None]) -> None:
        buckets, limit = LocalBuckets(processes=100), Limit("x", 5, 5)
        assert buckets.take(limit, "k", 5).allowed
        assert not buckets.take(limit, "k", 1).allowed
        tick(20)
        assert buckets.take(limit, "k", 1).allowed

    @pytest.mark.usefixtures("tick")
    def test_memory_is_bounded_and_the_least_used_goes(self) -> None:
        buckets, limit = LocalBuckets(max_buckets=3), Limit("x", 1, 1)
        for key in "abcad":
            buckets.take(limit, key, 1)
        assert len(buckets) == 3
        assert not buckets.take(limit, "a", 1).allowed, "used lately, so it was kept"
        assert buckets.take(limit, "b", 1).allowed, "pushed out, so it is full again"

    def test_somebody_shares_the_limits(self) -> None:
        with pytest.raises(ValueError, match="at least one process"):
            LocalBuckets(processes=0)


class TestBreaker:
    def test_one_tries_while_the_others_go_without(self, tick: Callable[[float], None]) -> None:
        seen: list[Observation] = []
        breaker = Breaker("redis.limits", Observer(seen.append))
        assert breaker.lets_pass()
        breaker.failed("gone")
        breaker.failed("gone, said a request that was under way")
        assert not breaker.lets_pass()
        tick(0.5)
        assert breaker.lets_pass()
        assert not breaker.lets_pass()
        breaker.abandoned()
        assert breaker.lets_pass()
        breaker.failed("still gone")
        assert breaker.pause_seconds == 1.0
        tick(0.9)
        assert not breaker.lets_pass()
        tick(0.1)
        assert breaker.lets_pass()
        breaker.succeeded()
        assert breaker.lets_pass()
        assert seen == [
            DependencyLost(name="redis.limits", reason="gone"),
            DependencyBack(name="redis.limits", seconds=1.5),
        ]

    def test_the_pause_has_a_ceiling(self, tick: Callable[[float], None]) -> None:
        breaker = Breaker("x", Observer())
        for _ in range(10):
            tick(10)
            assert breaker.lets_pass()
            breaker.failed("gone")
        assert breaker.pause_seconds == 5.0
