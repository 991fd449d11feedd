"""Queues for programs that bring their own workers: pgmq's verbs in SQL, steered at ``/platform/v1/queues``.

Messages go through ``pgmq_public`` over the data API, as Supabase's clients call
it, or through ``pgmq`` in SQL. This room makes queues, counts and removes them.
"""

from __future__ import annotations

from modules.queues.events import QUEUE_EVENTS

__all__ = ["QUEUE_EVENTS"]
