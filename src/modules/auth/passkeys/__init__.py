"""Passkeys: keys that open sessions by themselves. ``/auth/v1/passkeys``."""

from __future__ import annotations

from modules.auth.passkeys.administration import PasskeyAdministration
from modules.auth.passkeys.services import Passkeys

__all__ = ["PasskeyAdministration", "Passkeys"]
