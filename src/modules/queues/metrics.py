"""What queues of users show."""

from __future__ import annotations

from typing import Final

from monohull.kernel.metric import gauge

MESSAGES: Final = gauge(
    "monohull_user_queue_messages", "Messages in all queues of pgmq, hidden ones included."
)

METRICS: Final = (MESSAGES,)
