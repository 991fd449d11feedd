"""What the doctor says of jobs, by what was found."""

from __future__ import annotations

from typing import Any

import pytest

from modules.jobs.looks import Seen, judge
from monohull.kernel.outbox import Lag

IDLE = Lag(0.0, 0, 0)


def seen(**found: Any) -> Seen:
    plain: dict[str, Any] = {"waiting": {}, "letters": {}, "silent": 0, "lag": IDLE, "served": ["default"]}
    return Seen(**plain | found)


@pytest.mark.parametrize(
    ("found", "state", "words"),
    [
        ({}, "ok", "keep up"),
        ({"served": []}, "advice", "no worker is alive"),
        ({"served": [], "waiting": {"default": 3.0}}, "advice", "no worker is alive"),
        ({"served": [], "waiting": {"default": 90.0}}, "wrong", "wait for 90 s"),
        ({"served": [], "lag": Lag(70.0, 2, 0)}, "wrong", "wait for 70 s"),
        ({"waiting": {"calls": 1.0, "default": 400.0}}, "wrong", "serves the queues calls"),
        ({"lag": Lag(70.0, 2, 3)}, "wrong", "the relay is 70 s behind (2 events, 3 jobs)"),
        ({"waiting": {"default": 400.0}}, "wrong", "queue default waits for 400 s"),
        ({"silent": 2, "letters": {"a.b": 1}}, "advice", "2 jobs run in workers"),
        ({"letters": {"a.b": 3, "c.d": 1}}, "advice", "a.b (3), c.d (1)"),
    ],
    ids=str,
)
def test_the_worst_is_told(found: dict[str, Any], state: str, words: str) -> None:
    diagnosis = judge(seen(**found))
    assert (diagnosis.name, diagnosis.state) == ("jobs", state)
    assert words in diagnosis.message
