"""Send what was promised. Repeated with longer and longer pauses; given up, it is a dead letter."""

from __future__ import annotations

from typing import Final

from modules.auth.messages.courier import Seal
from modules.auth.messages.delegates import delegate_mail, delegate_text
from modules.auth.messages.letters import Templates, Variables, render
from modules.auth.messages.mailbox import Kept, Mailbox, MessageKept
from modules.auth.messages.sms import Twilio
from modules.auth.messages.smtp import compose, send
from modules.auth.oauth_server.repository import AuthorizationRepository
from modules.auth.passkeys.repository import PasskeyChallengeRepository
from modules.auth.repositories import ChallengeRepository, FlowRepository, OneTimeTokenRepository
from modules.auth.saml.repository import AssertionRepository, RelayStateRepository
from modules.auth.settings import AuthSettings
from monohull.kernel import clock
from monohull.kernel.crypto import DecryptionError
from monohull.kernel.home import jwt_secret
from monohull.kernel.ids import uuid7
from monohull.kernel.queues import Backoff, GiveUp, job
from monohull.kernel.runtime import Runtime
from monohull.kernel.span import Kind, Value

MAX_ATTEMPTS: Final = 8
"""With `PAUSES` the last try is about an hour after the first: as long as a link holds."""

KEPT_SECONDS: Final = 2 * 86_400
"""Of what was sent and not answered: longer than the longest lifetime that can be set."""

PAUSES: Final = Backoff(base_seconds=5.0, factor=3.0, max_seconds=1800.0)


@job("auth.send_mail", max_attempts=MAX_ATTEMPTS, timeout_seconds=60, backoff=PAUSES)
async def send_mail(runtime: Runtime, *, template: str, to: str, sealed: str) -> None:
    """Write and send one mail, or keep it where no mail server is configured. A hook sends in our place."""
    settings = runtime.settings.of(AuthSettings)
    variables = _open(runtime, sealed)
    if await delegate_mail(runtime, template, to, variables):
        return
    letter = Templates(settings.mailer_templates, settings.subject).write(template, variables)
    if settings.smtp_host is not None:
        server: dict[str, Value] = {"server.address": settings.smtp_host, "server.port": settings.smtp_port}
        mail = compose(letter, to=to, settings=settings)
        with runtime.tracing.span("smtp send", Kind.CLIENT, **server):
            await send(mail, settings)
        return
    await _keep(
        runtime,
        Kept(
            id=str(uuid7()),
            kind="mail",
            to=to,
            template=template,
            subject=letter.subject,
            text=letter.text,
            html=letter.html,
            link=variables.confirmation_url,
            code=variables.token,
            sent_at=clock.now(),
        ),
    )


@job("auth.send_sms", max_attempts=4, timeout_seconds=60, backoff=PAUSES)
async def send_sms(runtime: Runtime, *, to: str, channel: str, sealed: str, is_factor: bool = False) -> None:
    """Send one text message, or keep it where ``SMS_PROVIDER`` is mailbox. A hook sends in our place."""
    settings = runtime.settings.of(AuthSettings)
    variables = _open(runtime, sealed)
    if await delegate_text(runtime, to, variables):
        return
    template = settings.mfa_phone_template if is_factor else settings.sms_template
    text = render(template, variables.named(), str)
    if settings.sms_provider == "twilio":
        await Twilio(runtime.outbound, settings).send(to, text, channel)
        return
    kept = Kept(id=str(uuid7()), kind="sms", to=to, text=text, code=variables.token, sent_at=clock.now())
    await _keep(runtime, kept)


@job("auth.purge_flows")
async def purge_flows(runtime: Runtime) -> None:
    """Delete links, codes and flows that nobody came back for."""
    async with runtime.database.unit_of_work() as work:
        await OneTimeTokenRepository(work).purge(older_than_seconds=KEPT_SECONDS)
        await FlowRepository(work).purge(older_than_seconds=KEPT_SECONDS)
        await ChallengeRepository(work).purge(older_than_seconds=KEPT_SECONDS)
        await PasskeyChallengeRepository(work).purge()
        await AuthorizationRepository(work).purge(older_than_seconds=KEPT_SECONDS)
        await RelayStateRepository(work).purge(older_than_seconds=KEPT_SECONDS)
        await AssertionRepository(work).purge()


def _open(runtime: Runtime, sealed: str) -> Variables:
    try:
        return Seal(jwt_secret(runtime.settings)).open(sealed)
    except DecryptionError as error:
        raise GiveUp(f"the message cannot be opened: {error}") from error


async def _keep(runtime: Runtime, message: Kept) -> None:
    if runtime.settings.core.is_production:
        raise GiveUp("no way to send it is configured, and production keeps no messages")
    await Mailbox(runtime.redis).put(message)
    runtime.observer.observe(
        MessageKept(
            kind=message.kind,
            to=message.to,
            template=message.template,
            link=message.link,
            code=message.code,
        )
    )
