"""The mail to an endpoint's owner that it was disabled, by way of auth's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from monohull.kernel.errors import Problem

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth import Mailing
    from modules.webhooks.models import WebhookEndpoint

TEMPLATE: Final = "webhook_disabled_notification"
_REASONS: Final = {
    "gone": "it answered 410, which says that it wants nothing any more",
    "failing": "every request to it has failed for days",
}


class OwnerMail:
    """Writes to owners.

    Args:
        mailing: Sends mails, where any can be sent.
    """

    def __init__(self, mailing: Mailing) -> None:
        self._mailing = mailing

    async def __call__(self, work: AsyncSession, email: str, endpoint: WebhookEndpoint, reason: str) -> None:
        """Promise the mail in the transaction that disables the endpoint, where mails can be sent."""
        try:
            self._mailing.require()
        except Problem:
            return
        data = {"endpoint": endpoint.name, "url": endpoint.url, "reason": _REASONS[reason]}
        await self._mailing.send(work, TEMPLATE, email, link={}, data=data)
