"""`Grants`: what principals hold beyond what their credentials brought, remembered until it may have changed.

Authenticators say who asks; a source that a module registers says what they
may. It is asked once a principal, and the answer counts for as long as the
*epoch* is the one it was asked in: whoever changes what somebody holds begins
a new one. So a warm request compares two numbers.

Nobody and the service hold what they hold whatever roles say, and cost nothing
here. A token that an application got from a user (claim ``client_id``) is limited
like the user and holds nothing: a user lends an application their data, and not
their office.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from monohull.kernel.column_limits import ColumnLimits  # noqa: TC001 msgspec reads it
from monohull.kernel.principal import PrincipalKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from monohull.kernel.principal import Principal, Standing

MAX_REMEMBERED: Final = 20_000
"""Principals; about 3 MB while they hold nothing. The one that was asked about first goes."""


class Granted(msgspec.Struct, frozen=True):
    """What roles give to one principal.

    Attributes:
        roles: Names of the roles that it has for the whole instance, sorted.
        permissions: What these bundle, patterns as in `permissions`.
        columns: What they limit it to; None for nothing.
        version: Grows with each change of what anybody holds; 0 where nothing is held.
    """

    roles: tuple[str, ...] = ()
    permissions: frozenset[str] = frozenset()
    columns: ColumnLimits | None = None
    version: int = 0


NOTHING: Final = Granted()


def is_lent(principal: Principal) -> bool:
    """Say whether a user gave an application the token."""
    return "client_id" in principal.claims


class GrantSource(Protocol):
    """Knows what principals hold."""

    async def granted(self, principal: Principal) -> Granted:
        """Return what roles give to ``principal`` now.

        Raises:
            Unavailable: 503, nobody can say.
        """
        ...


class Grants:
    """What the principals of one process hold."""

    def __init__(self, entries: int = MAX_REMEMBERED) -> None:
        self._entries = entries
        self._source: GrantSource | None = None
        self._remembered: dict[str, _Remembered] = {}
        self._began: list[Callable[[], None]] = []
        self.epoch = 0
        self.lookups = 0

    def __len__(self) -> int:
        return len(self._remembered)

    def use(self, source: GrantSource) -> None:
        """Ask ``source`` from now on.

        Raises:
            ValueError: There is one already.
        """
        if self._source is not None:
            raise ValueError("two modules say what principals hold; there can be one")
        self._source = source

    def begin_epoch(self) -> None:
        """Let nothing count any more that was found out before."""
        self.epoch += 1
        self._remembered.clear()
        for callback in self._began:
            callback()

    def on_epoch(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when an epoch begins."""
        self._began.append(callback)

    def concerns(self, principal: Principal) -> bool:
        """Say whether roles may give something to ``principal``, or limit it."""
        return self._source is not None and (
            principal.kind is PrincipalKind.USER or principal.kind is PrincipalKind.KEY
        )

    async def complete(self, bare: Principal) -> Principal:
        """Return ``bare`` with what it holds; itself when that is nothing more.

        Raises:
            Unavailable: 503, nobody can say.
        """
        if not self.concerns(bare):
            return bare
        return (await self._find(bare)).complete(bare)

    async def granted(self, principal: Principal) -> Granted:
        """Return what roles give to ``principal``, for whoever has to write it down.

        Raises:
            Unavailable: 503, nobody can say.
        """
        return (await self._find(principal)).granted if self.concerns(principal) else NOTHING

    def standing(self, inner: Standing) -> Standing | None:
        """Return ``inner`` with what its principal holds; None where that has to be found out again."""
        bare = inner.use()
        if bare is None or not self.concerns(bare):
            return inner
        found = self._remembered.get(_name(bare))
        return None if found is None else _Holding(self, inner, bare, found.complete(bare))

    async def _find(self, bare: Principal) -> _Remembered:
        name = _name(bare)
        found = self._remembered.get(name)
        return await self._look_up(name, bare) if found is None else found

    async def _look_up(self, name: str, bare: Principal) -> _Remembered:
        """Ask the source; an answer that an epoch overtook is used this once, and not kept."""
        assert self._source is not None
        epoch = self.epoch
        self.lookups += 1
        found = _Remembered(await self._source.granted(bare))
        if epoch == self.epoch:
            self._remembered[name] = found
            if len(self._remembered) > self._entries:
                del self._remembered[next(iter(self._remembered))]
        return found


class _Remembered:
    """What somebody holds, and the last principal that it was put into."""

    __slots__ = ("_bare", "_completed", "granted")

    def __init__(self, granted: Granted) -> None:
        self.granted = granted
        self._bare: Principal | None = None
        self._completed: Principal | None = None

    def complete(self, bare: Principal) -> Principal:
        if not self.granted.roles and self.granted.columns is None:
            return bare
        if self._completed is None or self._bare is not bare:
            self._bare = bare
            self._completed = msgspec.structs.replace(
                bare,
                permissions=bare.permissions | self.granted.permissions,
                roles=self.granted.roles,
                columns=self.granted.columns,
            )
        return self._completed


class _Holding:
    """The standing of a principal and of what it holds: both have to hold still."""

    __slots__ = ("_bare", "_completed", "_epoch", "_grants", "_inner")

    def __init__(self, grants: Grants, inner: Standing, bare: Principal, completed: Principal) -> None:
        self._grants = grants
        self._epoch = grants.epoch
        self._inner = inner
        self._bare = bare
        self._completed = completed

    def use(self) -> Principal | None:
        if self._epoch != self._grants.epoch or self._inner.use() is not self._bare:
            return None
        return self._completed


def _name(principal: Principal) -> str:
    """Return under what a principal is remembered: a key is itself, also when it acts for a user."""
    if principal.key_id is not None:
        return f"k{principal.key_id}"
    return f"{'a' if is_lent(principal) else 'u'}{principal.subject}"
