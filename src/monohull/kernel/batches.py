"""Jobs with every choice about them, one at a time or as a batch with a job that follows.

    batch_id = await enqueue_batch(
        session,
        [Call(job=resize, arguments={"image_id": i}) for i in ids],
        completion=Call(job=tell, arguments={"user_id": user_id}),
    )

The completion runs once, when each job of the batch has a final state, and gets
``batch`` beside its own arguments: ``id``, ``total``, ``succeeded``, ``dead`` and
``cancelled``. A job that is tried again before that counts anew; afterwards the
batch is over and its counts stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import DateTime, bindparam, text

from monohull.kernel import clock
from monohull.kernel.ids import uuid7
from monohull.kernel.outbox import cause

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from monohull.kernel.queues import Job

_INSERT: Final = """
    insert into monohull.jobs
        (id, name, queue, priority, arguments, key, max_attempts, due_at, batch_id, actor, request_id,
         traceparent)
    values (:id, :name, :queue, :priority, cast(:arguments as json), :key, :max_attempts,
            greatest(:due_at, now()), :batch_id, :actor, :request_id, :traceparent)
"""
_DUE_AT: Final = bindparam("due_at", type_=DateTime(timezone=True))
_ENQUEUE: Final = text(
    f"with enqueued as ({_INSERT} on conflict (name, key) where key is not null and done_at is null "  # noqa: S608 of our own text
    "do nothing returning id) select id, pg_notify('monohull_outbox', '') from enqueued"
).bindparams(_DUE_AT)
_ENQUEUE_MANY: Final = text(_INSERT).bindparams(_DUE_AT)
_NOTIFY: Final = text("select pg_notify('monohull_outbox', '')")
_BATCH: Final = text(
    """
    insert into monohull.job_batches
        (id, total, pending, completion_name, completion_queue, completion_priority, completion_arguments,
         completion_job_id, actor, request_id, traceparent)
    values (:id, :total, :total, :name, :queue, :priority, :arguments, :job_id, :actor, :request_id,
            :traceparent)
    """
)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A job to be asked for.

    Attributes:
        job: What is to run.
        arguments: Ids or other plain JSON.
        key: While a job of this name and key is not done, asking again changes nothing.
        queue: Another than the job's own.
        priority: Another than the job's own.
        max_attempts: Another than the job's own.
        due_at: Not before; a time that is over means now.
    """

    job: Job
    arguments: dict[str, Any] = {}
    key: str | None = None
    queue: str | None = None
    priority: int | None = None
    max_attempts: int | None = None
    due_at: datetime | None = None

    def columns(self, batch_id: UUID | None = None) -> dict[str, Any]:
        return {
            "id": uuid7(),
            "name": self.job.name,
            "queue": self.queue or self.job.queue,
            "priority": self.job.priority if self.priority is None else self.priority,
            "arguments": msgspec.json.encode(self.arguments).decode(),
            "key": self.key,
            "max_attempts": self.max_attempts,
            "due_at": self.due_at or clock.now(),
            "batch_id": batch_id,
            **cause(),
        }


async def enqueue_call(session: AsyncSession, call: Call) -> UUID | None:
    """Promise that ``call`` runs once the caller's transaction is committed.

    Returns:
        The id of the job, or None when one with this key is waiting or running already.
    """
    row = (await session.execute(_ENQUEUE, call.columns())).first()
    return None if row is None else row.id


async def enqueue_batch(
    session: AsyncSession, calls: Sequence[Call], *, completion: Call | None = None
) -> UUID:
    """Promise that all ``calls`` run, and ``completion`` once each of them has a final state.

    Args:
        session: The unit of work that asks for it.
        calls: At least one.
        completion: Its key, its time and its limit of attempts are not used.

    Returns:
        The id of the batch.

    Raises:
        ValueError: There are no calls.
        sqlalchemy.exc.IntegrityError: One with the key of a call waits or runs already.
    """
    if not calls:
        raise ValueError("a batch has at least one job")
    batch_id = uuid7()
    follows: dict[str, Any] = dict.fromkeys(("name", "queue", "priority", "arguments"))
    if completion is not None:
        columns = completion.columns()
        follows = {name: columns[name] for name in follows}
    await session.execute(
        _BATCH, {"id": batch_id, "total": len(calls), "job_id": uuid7(), **follows, **cause()}
    )
    await session.execute(_ENQUEUE_MANY, [call.columns(batch_id) for call in calls])
    await session.execute(_NOTIFY)
    return batch_id
