"""``kill -9`` of everything while rows are written and jobs asked for: nothing acknowledged is lost.

Forty kills, ten each of API, worker, PostgreSQL and Redis, in a random order
that repeats; then the supervisor itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import asyncpg
import httpx
import psutil
import pytest

from monohull.kernel.database.engine import Database
from monohull.kernel.errors import Unavailable
from monohull.kernel.queues import Job, enqueue
from tests.up import PYTHON, Run, alive, open_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monohull.kernel.home import State

pytestmark = [pytest.mark.crash, pytest.mark.slow]

HERE = Path(__file__).parent
SEED = 20261123
KILLS_EACH = 10
COMMAND = (PYTHON, "-P", "-m", "monohull")


async def nothing(_: Any, **__: Any) -> None:
    """The test only asks for the job; the product's worker has it from its own module."""


MARK = Job(name="crashing.mark", function=nothing)


@pytest.fixture
def product() -> Iterator[Run]:
    folder = open_folder()
    shutil.copytree(HERE / "project", folder, dirs_exist_ok=True)
    environ = {
        "PYTHONPATH": str(HERE / "path"),
        "MONOHULL_MODULES": "crashing",
        "MONOHULL_LOG_LEVEL": "error",
        "MONOHULL_DRAIN_SECONDS": "2",
        "MONOHULL_REST_EXPOSE": "grants",
    }
    with Run(folder, [*COMMAND, "up", "--port", "0"], environ) as run:
        yield run
    shutil.rmtree(folder)


def variables(run: Run) -> dict[str, str]:
    """Ask ``monohull status`` as a shell would."""
    command = [*COMMAND, "status", "--format", "env", "--home", str(run.home.path)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, cwd=run.folder).stdout
    return dict(part.split("=", 1) for line in text.splitlines() for part in shlex.split(line))


class Load:
    """Writes rows, asks for jobs and reads over HTTP until told to stop; keeps what was acknowledged."""

    def __init__(self, values: dict[str, str]) -> None:
        self.acknowledged: list[int] = []
        self.answers: dict[str, int] = {}
        self._values = values
        self._database = Database(values["DATABASE_URL"], pool_size=2)
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._read())]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        await self._database.close()

    async def _write(self) -> None:
        number = 0
        while not self._stopping.is_set():
            number += 1  # one that was refused is never tried again: it may be there all the same
            try:
                async with self._database.unit_of_work() as session:
                    connection = await session.connection()
                    await connection.exec_driver_sql("insert into public.entries values ($1)", (number,))
                    await enqueue(session, MARK, number=number)
            except Unavailable:
                await asyncio.sleep(0.05)
            else:
                self.acknowledged.append(number)
            await asyncio.sleep(0.02)

    async def _read(self) -> None:
        url = f"{self._values['MONOHULL_URL']}/rest/v1/entries?select=number&limit=1"
        async with httpx.AsyncClient(headers={"apikey": self._values["SERVICE_KEY"]}, timeout=5) as client:
            while not self._stopping.is_set():
                try:
                    answer = str((await client.get(url)).status_code)
                except httpx.HTTPError:
                    answer = "none"
                self.answers[answer] = self.answers.get(answer, 0) + 1
                await asyncio.sleep(0.05)


def victim(state: State, name: str, dice: random.Random) -> int | None:
    """Return the process to kill, None when it is just coming back."""
    service = {"postgres": state.postgres, "redis": state.redis}.get(name)
    process = service.process if service else {"api": state.api, "worker": state.worker}.get(name)
    if process is None or not process.is_alive:
        return None
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children()
        if name == "api" and family and dice.random() < 0.5:  # the API's watcher, or the process that serves
            return family[0].pid
    return process.pid


async def kill_all(run: Run, dice: random.Random) -> None:
    order = [name for name in ("api", "worker", "postgres", "redis") for _ in range(KILLS_EACH)]
    dice.shuffle(order)
    for name in order:
        for _ in range(600):
            if (pid := victim(run.state(), name, dice)) is not None:
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError(f"{name} did not come back:\n{run.output}")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(dice.uniform(0.05, 1.5))


async def until_ready(url: str) -> None:
    async with httpx.AsyncClient(timeout=5) as client:
        for _ in range(600):
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"{url}/health/ready")).status_code == 200:
                    return
            await asyncio.sleep(0.1)
    raise AssertionError("it does not become ready again")


async def numbers(values: dict[str, str], table: str) -> set[int]:
    connection = await asyncpg.connect(values["DATABASE_URL"])
    try:
        return {row["number"] for row in await connection.fetch(f"select number from public.{table}")}
    finally:
        await connection.close()


async def until_marked(values: dict[str, str], asked: set[int]) -> None:
    """Wait until every job of ``asked`` ran."""
    lost = asked
    for _ in range(600):
        if not (lost := asked - await numbers(values, "marks")):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{len(lost)} of {len(asked)} jobs are lost")


async def test_nothing_acknowledged_is_lost(product: Run) -> None:
    product.ready()
    values = variables(product)
    async with Load(values) as load:
        await asyncio.sleep(1)
        await kill_all(product, random.Random(SEED))
        await until_ready(values["MONOHULL_URL"])
        await asyncio.sleep(1)
    assert alive(product.pid)
    assert len(load.acknowledged) > 100
    assert load.answers.get("200", 0) > 0
    assert not {answer for answer in load.answers if answer not in ("200", "503", "none")}, load.answers
    asked = set(load.acknowledged)
    assert asked <= await numbers(values, "entries")
    await until_marked(values, asked)
    assert await numbers(values, "marks") <= await numbers(values, "entries"), "ran and was never committed"
    for name in ("postgres", "redis", "worker"):
        # one that was about to end by itself, because a service was away, counts too
        assert product.output.count(f"{name} ended (") >= KILLS_EACH


async def test_a_killed_supervisor_takes_everything_with_it_and_the_next_goes_on(product: Run) -> None:
    product.ready()
    for _ in range(3):
        values = variables(product)
        state = product.state()
        async with Load(values) as load:
            await asyncio.sleep(1.5)
            product.signal(signal.SIGKILL)
            product.ended()
        product.ready()
        assert product.state().supervisor != state.supervisor
        again = variables(product)
        assert again["ANON_KEY"] == values["ANON_KEY"]
        assert again["DATABASE_URL"] == values["DATABASE_URL"], "the port is reused"
        asked = set(load.acknowledged)
        assert asked
        assert asked <= await numbers(again, "entries")
        await until_marked(again, asked)
        connection = await asyncpg.connect(again["DATABASE_URL"])
        await connection.execute("truncate public.entries, public.marks")
        await connection.close()
