"""What a job says of itself is written once a second at most, and kept within bounds."""

from __future__ import annotations

from typing import Any

import pytest

from monohull.kernel import progress as said_by_jobs
from monohull.kernel.ledger import MAX_RESULT_CHARACTERS, encode_result
from monohull.kernel.progress import MAX_TEXT, Progress, Said, current_progress, progress

CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Said]:
    """What reached the ledger; the clock stands still."""
    found: list[Said] = []

    async def write(said: Said) -> None:
        found.append(said)

    monkeypatch.setattr(said_by_jobs, "monotonic_seconds", lambda: 100.0)
    current_progress.set(Progress(write))
    return found


async def test_the_first_is_written_and_the_last_is_kept(
    written: list[Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    for share in (0.1, 0.2, 0.3):
        await progress(share)
    assert written == [Said(0.1, None)]
    running = current_progress.get()
    assert running is not None
    assert running.take() == Said(0.3, None)
    assert running.take() is None
    monkeypatch.setattr(said_by_jobs, "monotonic_seconds", lambda: 101.0)
    await progress(0.4, "more")
    assert written[1:] == [Said(0.4, "more")]


async def test_what_lies_outside_is_cut(written: list[Said]) -> None:
    await progress(7, "\x00" + "x" * 1000)
    assert written[0].share == 1.0
    assert written[0].text == "\N{REPLACEMENT CHARACTER}" + "x" * (MAX_TEXT - 1)


async def test_nothing_happens_where_no_job_runs() -> None:
    current_progress.set(None)
    await progress(0.5)


@pytest.mark.parametrize(
    ("result", "written"),
    [
        (None, None),
        ({"n": 1}, '{"n":1}'),
        (object, "\"<class 'object'>\""),
        ("\ud800", '"str: UnicodeEncodeError"'),
        ({(1, 2): 3}, '{"(1, 2)":3}'),
        (CIRCLE, '"list: RecursionError"'),
    ],
    ids=["nothing", "object", "described", "surrogate", "key", "circle"],
)
def test_results_are_json(result: Any, written: str | None) -> None:
    assert encode_result(result) == (written, False)


def test_a_long_result_begins() -> None:
    written, is_cut = encode_result(["é" * MAX_RESULT_CHARACTERS])
    assert is_cut
    assert written is not None
    assert written.startswith('"[\\"é')
    assert len(written) <= MAX_RESULT_CHARACTERS + 4
