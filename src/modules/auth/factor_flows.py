"""Put together second factors and passkeys; the third part of the plug."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from modules.auth.ceremonies import RelyingParty
from modules.auth.factors.administration import FactorAdministration
from modules.auth.factors.enrolment import Enrolment
from modules.auth.factors.gate import FactorGate
from modules.auth.factors.keys import WebAuthn
from modules.auth.factors.kinds import Totp
from modules.auth.factors.phone import Phone
from modules.auth.factors.recovery import Recovery
from modules.auth.factors.sealing import FactorSeal
from modules.auth.factors.verification import FactorVerification
from modules.auth.lockout import Lockout
from modules.auth.passkeys import PasskeyAdministration, Passkeys
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
    """Return the dependencies of the controllers of second factors and of passkeys.

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
    gate = FactorGate(runtime.limits, lockout, settings, runtime.counted)
    site = urlsplit(sender.site_url)
    host = site.hostname or "localhost"
    party = RelyingParty(
        settings.webauthn_rp_id or host,
        settings.webauthn_rp_display_name or host,
        settings.webauthn_rp_origins or (f"{site.scheme}://{site.netloc}",),
    )
    each: tuple[Kind, ...] = (Totp(settings, seal, host), Phone(sender, seal), WebAuthn(settings, party))
    kinds = {kind.type: kind for kind in each}
    enrolment = Enrolment(database, kinds, sender)
    verification = FactorVerification(
        database, kinds, issuer=issuer, sender=sender, gate=gate, seal=seal, hooks=hooks
    )
    recovery = Recovery(database, settings, seal=seal, issuer=issuer, gate=gate, hooks=hooks)
    administration = FactorAdministration(database, kinds, sender)
    passkeys = Passkeys(database, party=party, issuer=issuer, sender=sender, gate=gate)
    passkey_administration = PasskeyAdministration(database, passkeys, sender)
    return {
        "passkeys": lambda: passkeys,
        "passkey_administration": lambda: passkey_administration,
        "enrolment": lambda: enrolment,
        "factor_verification": lambda: verification,
        "recovery": lambda: recovery,
        "factor_administration": lambda: administration,
    }
