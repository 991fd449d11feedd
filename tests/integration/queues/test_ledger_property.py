"""Whatever comes in between: a job has one final state, an attempt begins once, and a batch counts right."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Struct

from modules.jobs.changing import Changing
from modules.jobs.dtos import Selection
from monohull.kernel.batches import Call, enqueue_batch
from monohull.kernel.ledger import Claim, Ledger
from tests.integration.jobs.module import count, module, tell
from tests.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from monohull.kernel.home import Connections

STEPS = 60
LOST = """
    update monohull.jobs set dispatched_at = null, worker = null, message = null, due_at = now(),
        done_at = case when cancel_requested_at is not null then now() end,
        outcome = case when cancel_requested_at is not null then 'cancelled' end
    where id = $1 and done_at is null returning 1
"""


@pytest.fixture
async def bench(connections: Connections) -> AsyncIterator[Workbench]:
    bench = Workbench(module, connections)
    async with bench.runtime.running():
        yield bench


class World(Struct):
    """What one run of the dice saw."""

    ledger: Ledger
    job_id: UUID
    claims: list[Claim]
    begun: list[int]


async def state(bench: Workbench, job_id: UUID) -> Any:
    (row,) = await bench.rows("select * from monohull.jobs where id = $1", job_id)
    return row


async def step(world: World, dice: random.Random, bench: Workbench) -> None:  # noqa: C901 one case a thing
    """Do one thing that a worker, the relay or a person might do at this moment."""
    ledger, job_id = world.ledger, world.job_id
    claim = dice.choice(world.claims) if world.claims else None
    match dice.choice(
        ("claim", "claim", "finish", "retry", "bury", "release", "stop", "cancel", "again", "lost")
    ):
        case "claim":
            attempts = dice.randint(0, 4)
            found = await ledger.claim(
                job_id,
                attempts=attempts,
                returns=dice.randint(0, 1),
                worker=f"w{len(world.begun)}",
                message="m",
            )
            if found is not None:
                world.claims.append(found)
                world.begun.append(found.number)
        case "finish" if claim is not None:
            await ledger.finish(claim, {"n": claim.number})
        case "retry" if claim is not None:
            await ledger.retry(claim, delay_seconds=0, error="no")
        case "bury" if claim is not None:
            await ledger.bury(claim, error="no")
        case "release" if claim is not None:
            await ledger.release(claim)
        case "stop" if claim is not None:
            await ledger.cancelled(claim)
        case "cancel":
            async with bench.runtime.database.unit_of_work() as work:
                await Changing(work).cancel(Selection(ids=[job_id]))
        case "again" if dice.random() < 0.3:
            async with bench.runtime.database.unit_of_work() as work:
                await Changing(work).retry(Selection(ids=[job_id]))
        case "lost":
            await bench.rows(LOST, job_id)


@pytest.mark.parametrize("seed", range(12), ids=lambda seed: f"seed{seed}")
async def test_any_order_leaves_one_final_state(bench: Workbench, seed: int) -> None:
    dice = random.Random(seed)
    async with bench.runtime.database.unit_of_work() as session:
        batch_id = await enqueue_batch(
            session, [Call(job=count, arguments={"n": 1})] * 2, completion=Call(job=tell)
        )
    rows = await bench.rows("select id from monohull.jobs where batch_id = $1 order by position", batch_id)
    world = World(Ledger(bench.runtime.database), rows[0]["id"], [], [])
    for _ in range(STEPS):
        before = await state(bench, world.job_id)
        await step(world, dice, bench)
        after = await state(bench, world.job_id)
        if before["outcome"] is not None and after["outcome"] is not None:
            assert before["outcome"] == after["outcome"], "a final state is left by asking again alone"
            assert before["done_at"] == after["done_at"]
        if before["outcome"] == "succeeded":
            assert after["outcome"] == "succeeded", "and success never"
        letters = await bench.rows("select from monohull.dead_letters where id = $1", world.job_id)
        assert len(letters) == (after["outcome"] == "dead")
        await check_batch(bench, batch_id)
    await finish(bench, world, rows[1]["id"], batch_id)


async def check_batch(bench: Workbench, batch_id: UUID) -> None:
    (batch,) = await bench.rows("select * from monohull.job_batches where id = $1", batch_id)
    jobs = await bench.rows("select outcome from monohull.jobs where batch_id = $1", batch_id)
    if batch["done_at"] is None:
        outcomes = [job["outcome"] for job in jobs]
        assert batch["pending"] == outcomes.count(None)
        for outcome in ("succeeded", "dead", "cancelled"):
            assert batch[outcome] == outcomes.count(outcome)


async def finish(bench: Workbench, world: World, other: UUID, batch_id: UUID) -> None:
    """End what is left: then the batch is over, and what follows was asked for once."""
    follows = "select from monohull.jobs where name = 'shop.tell'"
    assert await bench.rows(follows) == []
    for job_id in (world.job_id, other):
        async with bench.runtime.database.unit_of_work() as work:
            await Changing(work).cancel(Selection(ids=[job_id]))
        await bench.rows(LOST, job_id)
    (batch,) = await bench.rows("select * from monohull.job_batches where id = $1", batch_id)
    assert batch["done_at"] is not None
    assert batch["succeeded"] + batch["dead"] + batch["cancelled"] == 2
    assert len(await bench.rows(follows)) == 1
