from __future__ import annotations

from typing import Any

import pytest

from monohull.kernel.queues import Backoff, Cron, JobError, Queues, job, new_message


@job("mail.send", max_attempts=8, timeout_seconds=2.5, queue="mail")
async def send(runtime: str, *, letter_id: str) -> str:
    return f"{runtime} {letter_id}"


@job("mail.sweep")
async def sweep(_: Any) -> None: ...


async def test_a_job_can_be_called() -> None:
    assert await send("runtime", letter_id="7") == "runtime 7"


def test_a_job_says_what_it_is() -> None:
    assert (send.name, send.max_attempts, send.timeout_seconds, send.queue) == ("mail.send", 8, 2.5, "mail")


@pytest.mark.parametrize("name", ["send", "Mail.send", "mail.", "mail send", ""])
def test_refuses_names_that_are_none(name: str) -> None:
    with pytest.raises(JobError, match=r"write module\.verb"):
        job(name)


@pytest.mark.parametrize("options", [{"max_attempts": 0}, {"timeout_seconds": 0}, {"timeout_seconds": -1}])
def test_refuses_numbers_without_sense(options: dict[str, Any]) -> None:
    with pytest.raises(JobError, match=r"mail\.send"):
        job("mail.send", **options)


@pytest.mark.parametrize(
    ("attempt", "chance", "seconds"),
    [
        (1, 1.0, 2.0),
        (2, 1.0, 6.0),
        (3, 1.0, 18.0),
        (4, 1.0, 20.0),
        (500, 1.0, 20.0),
        (1, 0.0, 1.0),
        (1, 0.5, 1.5),
    ],
)
def test_backoff(attempt: int, chance: float, seconds: float) -> None:
    assert Backoff(2.0, 3.0, 20.0, 0.5).delay_seconds(attempt, chance=chance) == seconds


def test_backoff_throws_dice() -> None:
    delays = {Backoff(jitter=1.0).delay_seconds(3) for _ in range(20)}
    assert len(delays) > 1
    assert all(0 <= delay <= 4 for delay in delays)


def test_a_schedule_is_called_like_its_job_unless_named() -> None:
    assert Cron(job=sweep, schedule="* * * * *").title == "mail.sweep"
    assert Cron(job=sweep, schedule="* * * * *", name="mail.nightly").title == "mail.nightly"


def test_the_message_outlives_the_jobs_own_time_limit() -> None:
    message = new_message(send, {"letter_id": "7"}, key="k", meta={"request_id": "r", "actor": None})
    assert message.function == "mail.send"
    assert message.timeout > send.timeout_seconds
    assert message.meta == {"request_id": "r"}


async def test_queues_are_those_of_the_jobs_and_the_default() -> None:
    queues = Queues("redis://127.0.0.1:1/0", jobs=[send, sweep])
    assert queues.names == ("default", "mail")
    assert queues.lane("mail") is queues.lane("mail")
    assert queues.lane("mail").name == "monohull.mail"
