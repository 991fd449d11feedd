"""Random valid reads over random schemas are answered as the reference answers them.

A world (schema and data) and a request are each made from a number, which
Hypothesis draws; what it cannot make smaller, the request, `reduce` does.
"""

from __future__ import annotations

import os
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from monohull.kernel.clock import monotonic_seconds
from tests.property.bench import Bench
from tests.property.requests import draw_request
from tests.property.schema import World, draw_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monohull.kernel.home import Connections

SECONDS = 15.0
LONG_SECONDS = float(os.environ.get("PROPERTY_SECONDS", "600"))
NUMBERS = st.integers(0, 2**32 - 1)
QUIET = settings(
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
    print_blob=False,
)


@pytest.fixture
def bench(connections: Connections) -> Iterator[Bench]:
    with Bench(connections) as bench:
        yield bench


@lru_cache(maxsize=4)
def world_of(number: int) -> World:
    return draw_world(Random(number))


def ask(bench: Bench, world: World, numbers: list[int]) -> None:
    bench.build(world)
    for number in numbers:
        bench.check(draw_request(Random(number), world))


def test_reads_agree_with_the_reference(bench: Bench) -> None:
    until = monotonic_seconds() + SECONDS

    @seed(20260201)
    @settings(QUIET, max_examples=150)
    @given(NUMBERS, st.lists(NUMBERS, min_size=10, max_size=40))
    def agree(world: int, requests: list[int]) -> None:
        if monotonic_seconds() < until:
            ask(bench, world_of(world), requests)

    agree()
    assert bench.asked > 200


@pytest.mark.slow
def test_reads_agree_with_the_reference_for_long(bench: Bench) -> None:
    """Other numbers each time; ``PROPERTY_SECONDS`` says for how long."""
    until = monotonic_seconds() + LONG_SECONDS
    while monotonic_seconds() < until:
        number = Random().randrange(2**32)
        ask(bench, world_of(number), [number + at for at in range(40)])
