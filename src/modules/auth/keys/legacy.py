"""The legacy keys: JWTs of the shared secret that say ``anon`` or ``service_role`` and belong to nobody.

They cannot be revoked one by one, and never expire in practice. So they can be
switched off as a whole, and before one does that it has to be known who still
sends them: noted by role and address, once a minute at most for a process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.auth.errors import LegacyKeyRefused
from modules.auth.metrics import LEGACY_KEYS

if TYPE_CHECKING:
    from modules.auth.keys.presenters import Presenters
    from monohull.kernel.metrics import Metrics

LEGACY: Final = "legacy"
"""Stands for the legacy keys among the kids of `Presenters`."""


class LegacyKeys:
    """Notes who uses them, and refuses them where they are switched off.

    Args:
        metrics: Counts them.
        presenters: Remembers who it was.
        accepts: Whether they hold.
    """

    def __init__(self, metrics: Metrics, presenters: Presenters, *, accepts: bool) -> None:
        self._presenters = presenters
        self._accepts = accepts
        self._seen = metrics.counter(LEGACY_KEYS)

    def meet(self, role: str, address: str | None) -> None:
        """Note a use by a client at ``address``.

        Raises:
            LegacyKeyRefused: 401, they are switched off.
        """
        outcome = "accepted" if self._accepts else "refused"
        self._seen.labels(role if role in ("anon", "service_role") else "other", outcome).inc()
        self._presenters.note(LEGACY, f"{role} from {address or 'a socket'}, {outcome}")
        if not self._accepts:
            raise LegacyKeyRefused
