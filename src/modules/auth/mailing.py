"""Mails that other rooms send: written from templates that lie here, counted and sent like ours."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin

from modules.auth.messages.courier import Courier, Seal
from modules.auth.messages.letters import Variables
from modules.auth.redirects import Redirects, with_query
from modules.auth.send_limits import SendLimits
from modules.auth.settings import AuthSettings
from monohull.kernel.home import jwt_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.origin import Origin
    from monohull.kernel.queues import Job
    from monohull.kernel.runtime import Runtime
    from monohull.kernel.settings import Settings


class Mailing:
    """Promises mails whose links lead into the application.

    Args:
        courier: Takes them.
        limits: Counts them.
        redirects: Knows where links may lead.
        settings: Has the paths of links.
    """

    def __init__(
        self, courier: Courier, limits: SendLimits, redirects: Redirects, settings: AuthSettings
    ) -> None:
        self._courier = courier
        self._limits = limits
        self._redirects = redirects
        self._settings = settings

    def require(self) -> None:
        """Make sure that a mail can be sent.

        Raises:
            MailUnavailable: 422.
        """
        self._courier.require_mail()

    async def admit(self, template: str, to: str, origin: Origin) -> None:
        """Count a mail that ``origin`` asks for.

        Raises:
            TooManyMails: 429. RedisUnavailable: 503.
        """
        await self._limits.mail(template, to, origin)

    async def send(  # noqa: PLR0913 what it says, to whom, and where its link leads
        self,
        work: AsyncSession,
        template: str,
        to: str,
        *,
        link: Mapping[str, str],
        redirect_to: str | None = None,
        data: Mapping[str, str],
    ) -> None:
        """Promise the mail ``template`` in the transaction that needs it.

        Args:
            work: The transaction.
            template: One of `messages.letters.NAMES`.
            to: Address.
            link: What the link carries in its query, one secret at most.
            redirect_to: Where it should lead; without it, or where that is not allowed, into the
                application at the path of the settings.
            data: What the template may print as ``.Data.name``.
        """
        site = self._redirects.site_url
        page = urljoin(site, self._settings.link_path(template) or "")
        target = redirect_to if redirect_to and self._redirects.allows(redirect_to) else page
        variables = Variables(
            confirmation_url=with_query(target, link),
            token_hash=next(iter(link.values()), ""),
            site_url=site,
            redirect_to=target,
            email=to,
            data=dict(data),
        )
        await self._courier.mail(work, template, to, variables)


def build_mailing(runtime: Runtime) -> Mailing:
    """Return what sends mails in this process.

    The jobs are looked up by name: their file needs more of this room than its face may load.
    """
    jobs = {job.name: job for module in runtime.modules for job in module.jobs}
    auth = runtime.settings.of(AuthSettings)
    courier = build_courier(runtime.settings, jobs["auth.send_mail"], jobs["auth.send_sms"])
    limits = SendLimits(runtime.limits, auth, runtime.counted)
    return Mailing(courier, limits, build_redirects(runtime.settings), auth)


def build_courier(settings: Settings, mail_job: Job, sms_job: Job) -> Courier:
    """Return what promises messages, and in which form they wait."""
    keeps = not settings.core.is_production
    auth = settings.of(AuthSettings)
    return Courier(Seal(jwt_secret(settings)), auth, mail_job=mail_job, sms_job=sms_job, keeps=keeps)


def build_redirects(settings: Settings) -> Redirects:
    """Return what decides where links may lead."""
    auth = settings.of(AuthSettings)
    return Redirects(auth.site_url or settings.core.public_url, auth.uri_allow_list)
