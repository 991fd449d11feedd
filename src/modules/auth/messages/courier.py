"""Promise a message in the transaction that needs it.

The job's arguments lie in a table until they are purged, and a dead letter for
longer. So what a message says is sealed, and only who it goes to is readable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from modules.auth.errors import MailUnavailable, SmsUnavailable
from modules.auth.messages.letters import Variables
from monohull.kernel.crypto import Key, Keyring, decrypt, encrypt
from monohull.kernel.queues import enqueue

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.settings import AuthSettings
    from monohull.kernel.queues import Job

CONTEXT: Final = b"auth.message"


class Seal:
    """Closes and opens what a message says.

    Args:
        secret: The instance's; the key is derived from it.
    """

    def __init__(self, secret: str) -> None:
        self._keyring = Keyring(Key.derive(secret, "auth.messages"))

    def close(self, variables: Variables) -> str:
        return encrypt(msgspec.json.encode(variables), keyring=self._keyring, context=CONTEXT)

    def open(self, envelope: str) -> Variables:
        """Return what was sealed.

        Raises:
            DecryptionError: It was sealed with another secret, or changed.
        """
        opened = decrypt(envelope, keyring=self._keyring, context=CONTEXT)
        return msgspec.json.decode(opened, type=Variables)


class Courier:
    """Takes messages.

    Args:
        seal: Closes them.
        settings: Which ways there are.
        mail_job: Sends a mail.
        sms_job: Sends a text message.
        keeps: Whether a mailbox stands in where no way is configured: not in production.
    """

    def __init__(
        self, seal: Seal, settings: AuthSettings, *, mail_job: Job, sms_job: Job, keeps: bool
    ) -> None:
        self._seal = seal
        self._settings = settings
        self._mail_job = mail_job
        self._sms_job = sms_job
        self._keeps = keeps

    @property
    def sends_mail(self) -> bool:
        settings = self._settings
        return settings.smtp_host is not None or settings.hook_send_email_uri is not None or self._keeps

    def require_mail(self) -> None:
        """Make sure that a mail can be sent.

        Raises:
            MailUnavailable: 422.
        """
        if not self.sends_mail:
            raise MailUnavailable("This takes a mail, and no mail server is configured")

    def require_sms(self) -> None:
        """Make sure that a text message can be sent.

        Raises:
            SmsUnavailable: 422.
        """
        settings = self._settings
        if settings.hook_send_sms_uri is not None or (settings.sms_provider == "mailbox" and self._keeps):
            return
        credentials = (
            settings.sms_twilio_account_sid,
            settings.sms_twilio_auth_token,
            settings.sms_twilio_message_service_sid,
        )
        if settings.sms_provider != "twilio" or not all(credentials):
            raise SmsUnavailable

    async def mail(self, work: AsyncSession, template: str, to: str, variables: Variables) -> UUID | None:
        """Promise the mail ``template`` to the address ``to``; return the id of the job."""
        return await self._promise(
            work, self._mail_job, template=template, to=to, sealed=self._seal.close(variables)
        )

    async def notify(self, work: AsyncSession, template: str, to: str | None, variables: Variables) -> None:
        """Tell ``to`` what has happened, as far as mails can be sent and are wanted."""
        if to and self.sends_mail and self._settings.mailer_notifications_enabled:
            await self.mail(work, template, to, variables)

    async def text(  # noqa: PLR0913 what is said, to whom and why
        self,
        work: AsyncSession,
        to: str,
        code: str,
        channel: str,
        *,
        user_id: str = "",
        is_factor: bool = False,
    ) -> UUID | None:
        """Promise a text message with ``code`` to the number ``to``, which may be a second factor."""
        sealed = self._seal.close(Variables(token=code, phone=to, user_id=user_id))
        extra = {"is_factor": True} if is_factor else {}
        return await self._promise(work, self._sms_job, to=to, channel=channel, sealed=sealed, **extra)

    async def _promise(self, work: AsyncSession, job: Job, **arguments: Any) -> UUID | None:
        return await enqueue(work, job, **arguments)
