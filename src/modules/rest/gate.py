"""How often one caller may ask: `Allowance` of a user, or of an address where there is no user.

Two are counted and never refused: ``service_role``, which is the operator's own
back end, and a client on this machine itself. A proxy on this machine is not one:
it says for whom it asks, and until it is declared (``MONOHULL_TRUSTED_PROXIES``)
everybody without a user who comes through it is one caller.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from monohull.kernel.allowance import Allowance
from monohull.kernel.principal import PrincipalKind
from monohull.kernel.ratelimit import Limit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from monohull.kernel.principal import Principal
    from monohull.kernel.ratelimit import Decision, RateLimits

NAME: Final = "rest"
BURST_SECONDS: Final = 10
"""A full bucket holds what is allowed in this time."""

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
SERVICE: Final = "service"


class Gate:
    """The rate limit of the data API.

    Args:
        limits: Where processes agree.
        per_minute: Lasting rate of one caller; 0 for no limit.
    """

    def __init__(self, limits: RateLimits, per_minute: int) -> None:
        self._allowance: Allowance | None = None
        if per_minute:
            capacity = max(1, per_minute * BURST_SECONDS // 60)
            self._allowance = Allowance(limits, Limit(NAME, capacity, per_minute / 60, "local"))

    def admit(self, principal: Principal, scope: Mapping[str, Any]) -> None:
        """Count a request.

        Raises:
            RateLimited: 429.
        """
        allowance = self._allowance
        if allowance is None:
            return
        caller = _caller(principal, scope["state"]["address"])
        if not allowance.has(caller) and not _is_exempt(principal, scope):
            raise allowance.refusal(caller)

    def admission(self, principal: Principal, scope: Mapping[str, Any]) -> Callable[[], bool]:
        """Return what counts a further request of the same caller, and says whether it may be."""
        allowance = self._allowance
        if allowance is None:
            return _always
        has = partial(allowance.has, _caller(principal, scope["state"]["address"]))
        return (lambda: has() or True) if _is_exempt(principal, scope) else has

    async def look(self, principal: Principal, scope: Mapping[str, Any]) -> Decision | None:
        """Return what a request would be told now, without counting it; None for who is not counted.

        Nobody knows the bucket of a caller without a user whose address is not known.
        """
        address = scope["state"]["address"]
        if self._allowance is None or principal.kind is PrincipalKind.SERVICE:
            return None
        if principal.subject is None and address is None:
            return None
        return await self._allowance.look(_caller(principal, address))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Agree with other processes while the block runs."""
        if self._allowance is None:
            yield
            return
        async with self._allowance.agreeing():
            yield


def _always() -> bool:
    return True


def _caller(principal: Principal, address: str | None) -> str:
    """Name whose bucket it is; no subject that a token may claim is spelled like an address here."""
    if principal.subject is not None:
        return f"user {principal.subject}"
    return SERVICE if principal.kind is PrincipalKind.SERVICE else f"from {address}"


def _is_exempt(principal: Principal, scope: Mapping[str, Any]) -> bool:
    if principal.kind is PrincipalKind.SERVICE:
        return True
    peer = scope.get("client")
    is_local = peer is None or peer[0] in LOOPBACK
    return is_local and not scope["state"]["headers"].is_forwarded
