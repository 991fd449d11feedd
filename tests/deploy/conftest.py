"""One bench for the session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.deploy.bench import Bench, program

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    program("python")
    bench = Bench()
    yield bench
    bench.close()
