"""Send a link and a code: draw them, keep the hash, promise the message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urljoin

from msgspec import Struct

from modules.auth import one_time
from modules.auth.messages import Variables
from modules.auth.repositories import OneTimeTokenRepository
from monohull.kernel import clock

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.hooks import Hooks
    from modules.auth.messages import Courier
    from modules.auth.models import User
    from modules.auth.one_time import Issued, Secrets
    from modules.auth.send_limits import SendLimits
    from modules.auth.settings import AuthSettings


class Purpose(Struct, frozen=True):
    """What a message asks for.

    Attributes:
        template: Name of the mail.
        token_type: Of the row that remembers it.
        link_type: The ``type`` of the link, and of ``POST /verify``.
        sent_column: Column of ``auth.users`` that says when.
        method: How PKCE's flow and the session name it.
    """

    template: str
    token_type: str
    link_type: str
    sent_column: str
    method: str


CONFIRM: Final = Purpose(
    "confirmation", one_time.CONFIRMATION, "signup", "confirmation_sent_at", "email/signup"
)
CONFIRM_AGAIN: Final = Purpose(
    "confirmation", one_time.RECOVERY, "signup", "confirmation_sent_at", "email/signup"
)
"""For a sign-up that was repeated with another password: see `verification`."""
INVITE: Final = Purpose("invite", one_time.CONFIRMATION, "invite", "confirmation_sent_at", "invite")
RECOVER: Final = Purpose("recovery", one_time.RECOVERY, "recovery", "recovery_sent_at", "recovery")
MAGIC_LINK: Final = Purpose("magic_link", one_time.RECOVERY, "magiclink", "recovery_sent_at", "magiclink")
CHANGE_NEW: Final = Purpose(
    "email_change", one_time.EMAIL_CHANGE_NEW, "email_change", "email_change_sent_at", "email_change"
)
CHANGE_CURRENT: Final = Purpose(
    "email_change_current",
    one_time.EMAIL_CHANGE_CURRENT,
    "email_change",
    "email_change_sent_at",
    "email_change",
)
REAUTHENTICATE: Final = Purpose(
    "reauthentication", one_time.REAUTHENTICATION, "reauthentication", "reauthentication_sent_at", ""
)


class Target(Struct, frozen=True):
    """Where a message goes, and where its link ends: ``redirect_to``, with a code when ``is_pkce``."""

    to: str
    redirect_to: str
    is_pkce: bool = False


class Sender(Struct, frozen=True, kw_only=True):
    """Sends what proves an address.

    Attributes:
        settings: What is allowed and for how long.
        autoconfirms: Whether an address counts as confirmed without a mail.
        secrets: Draws.
        courier: Promises.
        limits: Counts.
        hooks: Have a say in who becomes a user, and may send in our place.
        site_url: The application.
        verify_url: ``<public url>/auth/v1/verify``.
    """

    settings: AuthSettings
    autoconfirms: bool
    secrets: Secrets
    courier: Courier
    limits: SendLimits
    hooks: Hooks
    site_url: str
    verify_url: str

    async def issue(
        self, work: AsyncSession, user: User, purpose: Purpose, *, to: str, is_pkce: bool = False
    ) -> Issued:
        """Draw a code and a token for ``to``, and keep the hash."""
        issued = self.secrets.issue(to, is_pkce=is_pkce)
        await OneTimeTokenRepository(work).put(user.id, purpose.token_type, to, issued.token_hash)
        setattr(user, purpose.sent_column, clock.now())
        return issued

    def link(self, issued: Issued, purpose: Purpose, redirect_to: str) -> str:
        """Return where the button of a mail leads."""
        query = {"token": issued.token, "type": purpose.link_type, "redirect_to": redirect_to}
        page = urljoin(self.verify_url, self.settings.link_path(purpose.template) or "")
        return f"{page}{'&' if '?' in page else '?'}{urlencode(query)}"

    async def mail(self, work: AsyncSession, user: User, purpose: Purpose, target: Target) -> None:
        """Send the mail of ``purpose``."""
        issued = await self.issue(work, user, purpose, to=target.to, is_pkce=target.is_pkce)
        has_link = purpose is not REAUTHENTICATE
        variables = self.variables(
            user,
            confirmation_url=self.link(issued, purpose, target.redirect_to) if has_link else "",
            token=issued.code,
            token_hash=issued.token if has_link else "",
            redirect_to=target.redirect_to,
        )
        await self.courier.mail(work, purpose.template, target.to, variables)

    async def mail_both(self, work: AsyncSession, user: User, target: Target) -> None:
        """Let the hook send what confirms a change of address, to the old and the new one, in one call."""
        current = await self.issue(
            work, user, CHANGE_CURRENT, to=(user.email or "").lower(), is_pkce=target.is_pkce
        )
        new = await self.issue(work, user, CHANGE_NEW, to=target.to, is_pkce=target.is_pkce)
        variables = self.variables(
            user,
            confirmation_url=self.link(new, CHANGE_NEW, target.redirect_to),
            token=current.code,
            token_hash=new.token,
            token_new=new.code,
            token_hash_new=current.token,
            redirect_to=target.redirect_to,
        )
        await self.courier.mail(work, CHANGE_NEW.template, target.to, variables)

    async def text(
        self, work: AsyncSession, user: User, token_type: str, *, to: str, channel: str | None
    ) -> UUID | None:
        """Send a code to a number; a test number gets none. Return the id of the job."""
        issued = self.secrets.issue(to)
        await OneTimeTokenRepository(work).put(user.id, token_type, to, issued.token_hash)
        if self.secrets.is_test(to):
            return None
        return await self.courier.text(work, to, issued.code, channel or "sms", user_id=str(user.id))

    async def notify(self, work: AsyncSession, user: User, template: str, **values: Any) -> None:
        """Tell ``user`` by mail what has happened."""
        await self.courier.notify(work, template, user.email, self.variables(user, **values))

    def variables(self, user: User, **values: Any) -> Variables:
        """Return what a template may print about ``user``."""
        return Variables(
            **{
                "user_id": str(user.id),
                "site_url": self.site_url,
                "email": user.email or "",
                "new_email": user.email_change or "",
                "phone": user.phone or "",
                "data": user.raw_user_meta_data or {},
                **values,
            }
        )
