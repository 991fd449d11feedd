"""Hand a mail to a mail server."""

from __future__ import annotations

from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import TYPE_CHECKING, Final

import aiosmtplib

from monohull.kernel import clock
from monohull.kernel.queues import GiveUp

if TYPE_CHECKING:
    from modules.auth.messages.letters import Letter
    from modules.auth.settings import AuthSettings

TIMEOUT_SECONDS: Final = 20.0
TLS_PORT: Final = 465
_PERMANENT: Final = range(500, 600)


def compose(letter: Letter, *, to: str, settings: AuthSettings) -> EmailMessage:
    """Return the mail with both of its bodies.

    Raises:
        GiveUp: The address cannot stand in a header.
    """
    mail = EmailMessage()
    sender, _, domain = settings.smtp_admin_email.rpartition("@")
    try:
        mail["From"] = Address(settings.smtp_sender_name, sender, domain)
        mail["To"] = Address(addr_spec=to)
        mail["Subject"] = letter.subject
    except ValueError as error:
        raise GiveUp(f"the mail cannot be addressed: {error}") from error
    mail["Date"] = format_datetime(clock.now())
    mail["Message-ID"] = make_msgid(domain=domain)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(letter.text)
    mail.add_alternative(letter.html, subtype="html")
    return mail


async def send(mail: EmailMessage, settings: AuthSettings) -> None:
    """Send ``mail``; what the server refuses for good is not tried again.

    Raises:
        GiveUp: It answered with a permanent refusal (5xx) of the recipient or the message.
        aiosmtplib.SMTPException: Anything else; the job is tried again.
    """
    assert settings.smtp_host is not None
    port = settings.smtp_port
    is_tls = settings.smtp_tls == "tls" or (settings.smtp_tls == "auto" and port == TLS_PORT)
    starts_tls = settings.smtp_tls == "starttls" or (settings.smtp_tls == "auto" and not is_tls)
    try:
        await aiosmtplib.send(
            mail,
            hostname=settings.smtp_host,
            port=port,
            username=settings.smtp_user,
            password=settings.smtp_pass,
            use_tls=is_tls,
            start_tls=starts_tls,
            timeout=TIMEOUT_SECONDS,
        )
    except aiosmtplib.SMTPRecipientsRefused as error:
        refused = error.recipients[0]
        if refused.code in _PERMANENT:
            raise GiveUp(
                f"the mail server refuses the recipient: {refused.code} {refused.message}"
            ) from error
        raise
    except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPDataError) as error:
        if error.code in _PERMANENT:
            raise GiveUp(f"the mail server refuses the mail: {error.code} {error.message}") from error
        raise
