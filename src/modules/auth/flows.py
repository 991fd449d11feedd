"""Put together what sends something and waits for an answer; the second half of the plug."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modules.auth.audit import SUBSCRIBER
from modules.auth.factor_flows import build_factors
from modules.auth.jobs import purge_flows, send_mail, send_sms
from modules.auth.mailing import build_courier, build_redirects
from modules.auth.messages import Mailbox
from modules.auth.messages.letters import NAMES, TemplateError, Templates, checked_subject
from modules.auth.one_time import Secrets
from modules.auth.send_limits import SendLimits
from modules.auth.services import (
    Administration,
    Changes,
    Invitations,
    Passwordless,
    Registration,
    Verification,
)
from modules.auth.services.sending import Sender
from modules.auth.settings import AuthSettings
from monohull.kernel.home import jwt_secret
from monohull.kernel.queues import Cron
from monohull.kernel.settings import SettingsError, SettingsFault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from modules.auth.hooks import Hooks
    from modules.auth.passwords import Passwords
    from modules.auth.services import SessionIssuer
    from monohull.kernel.runtime import Runtime
    from monohull.kernel.settings import Settings

JOBS = (send_mail, send_sms, purge_flows)
SUBSCRIBERS = (SUBSCRIBER,)
CRON = (Cron(job=purge_flows, schedule="23 * * * *"),)


def build_flows(
    runtime: Runtime, issuer: SessionIssuer, passwords: Passwords, hooks: Hooks, *, path: str
) -> Mapping[str, Callable[[], Any]]:
    """Return the dependencies of the controllers that send and verify.

    Args:
        runtime: Of the process.
        issuer: Opens sessions.
        passwords: Hashes.
        hooks: May refuse.
        path: Of the wire, ``/auth/v1``.

    Raises:
        SettingsError: A template cannot be read.
    """
    settings = runtime.settings
    core, auth = settings.core, settings.of(AuthSettings)
    check_templates(settings)
    secret = jwt_secret(settings)
    keeps = not core.is_production
    redirects = build_redirects(settings)
    sender = Sender(
        settings=auth,
        autoconfirms=auth.autoconfirms(core.env),
        secrets=Secrets(secret, auth),
        courier=build_courier(settings, send_mail, send_sms),
        limits=SendLimits(runtime.limits, auth, runtime.counted),
        hooks=issuer.hooks,
        site_url=redirects.site_url,
        verify_url=f"{core.public_url.rstrip('/')}{path}/verify",
    )
    database = runtime.database
    registration = Registration(database, passwords, issuer, sender)
    passwordless = Passwordless(database, sender)
    verification = Verification(database, issuer, sender)
    administration = Administration(database, passwords, sender)
    invitations = Invitations(database, passwords, sender)
    changes = Changes(database, passwords, sender)
    mailbox = Mailbox(runtime.redis) if keeps else None
    return {
        **build_factors(runtime, issuer, sender, hooks),
        "registration": lambda: registration,
        "passwordless": lambda: passwordless,
        "verification": lambda: verification,
        "administration": lambda: administration,
        "invitations": lambda: invitations,
        "changes": lambda: changes,
        "send_limits": lambda: sender.limits,
        "redirects": lambda: redirects,
        "sender": lambda: sender,
        "mailbox": lambda: mailbox,
    }


def check_templates(settings: Settings) -> None:
    """Read the templates once, so that one that is broken stops the start and no mail.

    Raises:
        SettingsError: Naming the file, or the setting of a subject.
    """
    auth = settings.of(AuthSettings)
    variable = "MONOHULL_AUTH_MAILER_TEMPLATES"
    try:
        Templates(auth.mailer_templates)
        for name in NAMES:
            variable = f"MONOHULL_AUTH_MAILER_SUBJECTS_{name.upper()}"
            checked_subject(name, auth.subject(name) or "")
    except TemplateError as error:
        source = settings.sources.get(variable, "default")
        raise SettingsError([SettingsFault(variable, source, str(error))]) from error
