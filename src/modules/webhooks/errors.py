"""Refusals of webhooks."""

from __future__ import annotations

from monohull.kernel.errors import Conflict, InvalidRequest


class WebhookUrlRefused(InvalidRequest):
    """The URL of an endpoint leads where this instance sends no requests."""

    code = "webhook_url_refused"
    hint = "Use an address of the public internet, or name the host in MONOHULL_OUTBOUND_ALLOWED."


class WebhookInvalid(InvalidRequest):
    """The endpoint as it would be makes no sense; the message says what of it."""

    code = "webhook_invalid"
    hint = "Mend what the message names and send the request again."


class TooManyWebhooks(Conflict):
    """There are as many endpoints as the settings allow."""

    code = "too_many_webhooks"
    hint = "Delete one; MONOHULL_WEBHOOKS_MAX_ENDPOINTS says how many there may be."


class WebhookDisabled(Conflict):
    """A disabled endpoint is sent nothing."""

    code = "webhook_disabled"
    hint = "Enable the endpoint first."


class LastWebhookSecret(Conflict):
    """Without a secret the endpoint could not be signed for."""

    code = "last_webhook_secret"
    hint = "Make a new secret first."


class TooManyWebhookSecrets(Conflict):
    """As many secrets of the endpoint hold as may at a time."""

    code = "too_many_webhook_secrets"
    hint = "Wait for an older one to end, or delete it."
