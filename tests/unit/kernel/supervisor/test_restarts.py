"""When what died comes back, and when nobody tries any longer."""

from __future__ import annotations

import pytest

from monohull.kernel.supervisor.child import MAX_QUICK_FAILURES, Restarts, describe_exit


def test_the_first_restart_does_not_wait() -> None:
    assert Restarts().pause_seconds(lived_seconds=1, killed=False) == 0


def test_quick_failures_wait_longer_and_end() -> None:
    restarts = Restarts()
    pauses = [restarts.pause_seconds(lived_seconds=1, killed=False) for _ in range(MAX_QUICK_FAILURES)]
    assert pauses == [0.0, 0.25, 0.5, 1.0, None]


def test_a_long_life_clears_the_record() -> None:
    restarts = Restarts()
    for _ in range(3):
        for _ in range(MAX_QUICK_FAILURES - 1):
            assert restarts.pause_seconds(lived_seconds=1, killed=False) is not None
        assert restarts.pause_seconds(lived_seconds=60, killed=False) == 0


def test_what_is_killed_always_comes_back_and_soon() -> None:
    restarts = Restarts()
    pauses = [restarts.pause_seconds(lived_seconds=0.1, killed=True) for _ in range(100)]
    assert all(pause is not None and pause <= 1 for pause in pauses)


@pytest.mark.parametrize(("code", "text"), [(0, "exit code 0"), (3, "exit code 3"), (-9, "signal SIGKILL")])
def test_exits_in_words(code: int, text: str) -> None:
    assert describe_exit(code) == text
