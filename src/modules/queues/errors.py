"""Refusals of queues."""

from __future__ import annotations

from monohull.kernel.errors import Conflict


class QueueExists(Conflict):
    """A queue of this name is there, though perhaps in other capitals."""

    code = "queue_exists"
    hint = "Choose another name; capitals make no difference."


class QueuesElsewhere(Conflict):
    """The schemas pgmq and pgmq_public of this database are not Monohull's."""

    code = "queues_elsewhere"
    hint = "Steer those queues with the extension that made them, in SQL."


class QueueNotWhole(Conflict):
    """The tables of the queue are not as they were made, or something of the application hangs on them."""

    code = "queue_not_whole"
    hint = "Look at pgmq.meta and the tables pgmq.q_NAME and pgmq.a_NAME in SQL, and at what refers to them."
