"""Webhooks: events told to other programs by signed HTTP requests, at ``/platform/v1/webhooks``.

    feed → fan-out (one delivery per endpoint and event) → dispatcher → attempts → delivered or dead

What is sent is signed as Standard Webhooks has it, repeated until it is taken or given up, and accounted
for: ``monohull webhooks verify`` finds an event without its delivery.
"""

from __future__ import annotations

from modules.webhooks.events import WEBHOOK_EVENTS, WebhookEndpointDisabled

__all__ = ["WEBHOOK_EVENTS", "WebhookEndpointDisabled"]
