"""Put together what second factors need; a part of the plug."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from modules.auth.factors.administration import FactorAdministration
from modules.auth.factors.enrolment import Enrolment
from modules.auth.factors.gate import FactorGate
from modules.auth.factors.kinds import Totp
from modules.auth.factors.phone import Phone
from modules.auth.factors.recovery import Recovery
from modules.auth.factors.sealing import FactorSeal
from modules.auth.factors.verification import FactorVerification
from modules.auth.lockout import Lockout
from monohull.kernel.home import jwt_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from modules.auth.factors.kinds import Kind
    from modules.auth.hooks import Hooks
    from modules.auth.services import SessionIssuer
    from modules.auth.services.sending import Sender
    from monohull.kernel.runtime import Runtime


def build_factors(
    runtime: Runtime, issuer: SessionIssuer, sender: Sender, hooks: Hooks
) -> Mapping[str, Callable[[], Any]]:
    """Return the dependencies of the controllers of second factors.

    Args:
        runtime: Of the process.
        issuer: Gives sessions their tokens.
        sender: Tells people, and sends codes.
        hooks: May refuse an answer.
    """
    database, settings = runtime.database, sender.settings
    secret = jwt_secret(runtime.settings)
    seal = FactorSeal(secret)
    lockout = Lockout(
        runtime.redis, secret.encode(), settings.rate_limit_account_failures, counts="second factors"
    )
    gate = FactorGate(runtime.limits, lockout, settings)
    site = urlsplit(sender.site_url).hostname or "Monohull"
    kinds: dict[str, Kind] = {kind.type: kind for kind in (Totp(settings, seal, site), Phone(sender, seal))}
    enrolment = Enrolment(database, kinds, sender)
    verification = FactorVerification(
        database, kinds, issuer=issuer, sender=sender, gate=gate, seal=seal, hooks=hooks
    )
    recovery = Recovery(database, seal)
    administration = FactorAdministration(database, kinds, sender)
    return {
        "enrolment": lambda: enrolment,
        "factor_verification": lambda: verification,
        "recovery": lambda: recovery,
        "factor_administration": lambda: administration,
    }
