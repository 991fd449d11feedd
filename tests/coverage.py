"""Coverage that costs less, for `pytest -p tests.coverage` under slipcover and xdist; it measures the same.

Up to Python 3.11 slipcover looks through every class and function that is loaded, to take its probes out of
them, as soon as one line that was met has been met fifty times again. While tests reach new code all the time
that is more than the probes ever cost. And the controller, which loads next to nothing, would parse all the
source again, to name the files that nobody loaded: each worker names its own.
"""

from __future__ import annotations

import sys
from functools import partialmethod
from typing import Final

import pytest
from slipcover import Slipcover

REPEATS: Final = 2_000
"""Of a line that was seen, before the probes of all lines that were seen are taken out."""

# the workers' plugin makes its own when it is loaded, after this one, and has no option for it
Slipcover.__init__ = partialmethod(Slipcover.__init__, d_miss_threshold=REPEATS)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave to the workers what nobody loaded."""
    if not session.config.getoption("numprocesses", None) or hasattr(session.config, "workerinput"):
        return
    for finder in sys.meta_path:
        if isinstance(slipcover := getattr(finder, "sci", None), Slipcover):
            slipcover.source = None
