"""Two processes on one port: what is scraped only rises, and is what was sent, though one is killed."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import httpx
import pytest

from tests.application import JWT_SECRET
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from monohull.kernel.home import Connections

START_SECONDS: Final = 90
SENDERS: Final = 4
LEAST_SCRAPES: Final = 3
PAUSE_SECONDS: Final = 0.02
"""Between two requests of a sender: the processor is shared with other tests."""

ROUTE: Final = 'method="GET",route="/platform/v1/whoami"'
SENT: Final = re.compile(rf'^monohull_http_requests_total\{{{ROUTE},status="200"\}} (\S+)$', re.MULTILINE)
TIMED: Final = re.compile(rf"^monohull_http_request_duration_seconds_count\{{{ROUTE}\}} (\S+)$", re.MULTILINE)
PIDS: Final = re.compile(r'^monohull_process_open_files\{pid="(\d+)"', re.MULTILINE)
RISING: Final = re.compile(r"^(monohull_\w+_(?:total|bucket|count|sum)(?:\{.*\})?) (\S+)$", re.MULTILINE)
ASKED: Final = ("monohull_database_", "monohull_redis_")
"""What servers are asked for at each scrape is left out by one in which they do not answer in time."""


@pytest.fixture
def url(tmp_path: Path, connections: Connections, unused_tcp_port: int) -> Iterator[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MONOHULL_")}
    settings = {
        "MONOHULL_ENV": "test",
        "MONOHULL_JWT_SECRET": JWT_SECRET,
        "MONOHULL_DATABASE_URL": connections.owner_url,
        "MONOHULL_REDIS_URL": connections.redis_url,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "monohull", "serve", "--port", str(unused_tcp_port), "--workers", "2"],
        cwd=tmp_path,
        env=plain | {name: str(value) for name, value in settings.items()},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    yield f"http://127.0.0.1:{unused_tcp_port}"
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=PATIENCE_SECONDS)


def scrape(url: str) -> str:
    with suppress(httpx.TransportError):
        answer = httpx.get(f"{url}/metrics", timeout=30)
        if answer.status_code == 200:
            return answer.text
    return ""


def pids(url: str) -> set[int]:
    return {int(pid) for pid in PIDS.findall(scrape(url))}


async def two_serve(url: str, *, without: int = 0) -> set[int]:
    deadline = time.monotonic() + START_SECONDS
    while len(found := await asyncio.to_thread(pids, url)) != 2 or without in found:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)
    return found


async def settled(url: str, sent: int) -> None:
    """Wait until all that was sent is counted: another process' numbers are a second old at most."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        text = await asyncio.to_thread(scrape, url)
        counted = [float(one) for pattern in (SENT, TIMED) for one in pattern.findall(text)]
        if counted == [sent, sent]:
            return
        assert all(one <= sent for one in counted), "more than was sent"
        assert time.monotonic() < deadline, (counted, sent)
        await asyncio.sleep(0.1)


async def send(url: str, over: asyncio.Event) -> int:
    sent = 0
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        while not over.is_set():
            assert (await client.get("/platform/v1/whoami")).status_code == 200
            sent += 1
            await asyncio.sleep(PAUSE_SECONDS)
    return sent


async def watch(url: str, until: float, over: asyncio.Event) -> None:
    """Scrape, and compare every series that may only rise with what it was before."""
    before: dict[str, float] = {}
    scrapes = 0
    while time.monotonic() < until or scrapes < LEAST_SCRAPES:
        now = {name: float(value) for name, value in RISING.findall(await asyncio.to_thread(scrape, url))}
        fallen = [
            name
            for name, value in before.items()
            if now.get(name, value if name.startswith(ASKED) else -1.0) < value
        ]
        assert fallen == []
        before, scrapes = before | now, scrapes + 1
        await asyncio.sleep(0.1)
    over.set()


async def load(url: str, seconds: float) -> int:
    over = asyncio.Event()
    watching = watch(url, time.monotonic() + seconds, over)
    sent = await asyncio.gather(watching, *(send(url, over) for _ in range(SENDERS)))
    return sum(number for number in sent if number is not None)


@pytest.mark.parametrize("seconds", [3, pytest.param(30, marks=pytest.mark.slow)], ids=["short", "long"])
async def test_counters_rise_and_sum_to_what_was_sent(url: str, seconds: float) -> None:
    first = await two_serve(url)
    sent = await load(url, seconds / 2)
    await settled(url, sent)
    killed = min(first)
    os.kill(killed, signal.SIGKILL)
    second = await two_serve(url, without=killed)
    assert second & first == first - {killed}
    await settled(url, sent)  # nothing of what the dead one counted is gone
    sent += await load(url, seconds / 2)
    await settled(url, sent)
