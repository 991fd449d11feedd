"""`Denylist`: what one process knows of ended sessions and changed users.

Asked when a token is verified. A token that was verified before is in the
cache and is not asked about again; so whoever keeps such a cache is told of
each new entry, and drops what it concerns. A request with a known token pays
nothing at all for this.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final

from msgspec import Struct
from sqlalchemy.exc import SQLAlchemyError

from modules.auth.revocations.repository import RevocationRepository
from modules.auth.tokens import SKEW_SECONDS, VERSION_CLAIM
from monohull.kernel import clock
from monohull.kernel.errors import InvalidCredential, Unavailable
from monohull.kernel.observation import SILENT, Level, Observation
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

    from modules.auth.revocations.repository import Entry
    from monohull.kernel.database.engine import Database
    from monohull.kernel.observation import Observer

POLL_SECONDS: Final = 0.9
"""How old the copy may be where no notification arrives, as behind a pooler or on a connection that died."""

FORGET_SECONDS: Final = 60.0
"""How often entries that concern no living token are dropped."""


class DenylistUnreadable(Observation, frozen=True):
    """What ended could not be read; what was known before still counts."""

    event: ClassVar[str] = "auth.denylist_unreadable"
    level: ClassVar[Level] = "warning"

    reason: str


class UserState(Struct):
    """A user since its last change; ``role`` and ``app_metadata`` are set where they changed.

    ``version`` is the ``claims_version`` that it has since; None of changes before users had one.
    """

    at: float
    version: int | None = None
    deleted: bool = False
    banned_until: float | None = None
    changes: dict[str, Any] = {}

    def merge(self, at: float, state: Mapping[str, Any]) -> None:
        """Take over a later change."""
        self.at = max(self.at, at)
        self.version = state.get("version", self.version)
        self.deleted = bool(state.get("deleted"))
        self.banned_until = state.get("banned_until")
        self.changes |= {name: state[name] for name in ("role", "app_metadata") if name in state}


class Denylist:
    """Knows what ended.

    Args:
        database: Where it is written down.
        lifetime_seconds: How long an access token lives; what ended longer ago concerns nobody.
        overlays: Whether a changed role and changed ``app_metadata`` take the place of a token's own.
            Otherwise such a token is refused, and its holder has to refresh.
        observer: Told when the database cannot be asked.
    """

    def __init__(
        self,
        database: Database,
        *,
        lifetime_seconds: int,
        overlays: bool = True,
        observer: Observer = SILENT,
    ) -> None:
        self._database = database
        self._window = lifetime_seconds + 2 * SKEW_SECONDS
        self._overlays = overlays
        self._observer = observer
        self._sessions: dict[str, float] = {}
        self._users: dict[str, UserState] = {}
        self._seen: set[int] = set()
        self._horizon = 0
        self._is_told = False
        self._forgot_at = clock.monotonic_seconds()
        self._wanted = asyncio.Event()
        self._ended: list[Callable[[Collection[str], Collection[str]], None]] = []

    def __len__(self) -> int:
        return len(self._sessions) + len(self._users)

    def on_entry(self, callback: Callable[[Collection[str], Collection[str]], None]) -> None:
        """Have ``callback`` called with the ids of the sessions and users that are new here."""
        self._ended.append(callback)

    def request_reload(self, _: str | None = None) -> None:
        """Have it read again at once."""
        self._wanted.set()

    def current(self, claims: dict[str, Any]) -> dict[str, Any]:
        """Return what ``claims`` say by now.

        Raises:
            InvalidCredential: 401, their session ended, or their user is deleted, banned or changed.
        """
        session_id, subject = claims.get("session_id"), claims.get("sub")
        if isinstance(subject, str) and (state := self._users.get(subject)) is not None:
            claims = self._as_changed(claims, state)
        if isinstance(session_id, str) and session_id in self._sessions:
            raise InvalidCredential("The session of this JWT has ended", reason="ended")
        return claims

    def _as_changed(self, claims: dict[str, Any], state: UserState) -> dict[str, Any]:
        if _is_newer(claims, state, by=SKEW_SECONDS):
            return claims
        if state.deleted:
            raise InvalidCredential("The user of this JWT was deleted", reason="deleted")
        if state.banned_until is not None and state.banned_until > clock.unix_seconds():
            raise InvalidCredential("The user of this JWT is banned", reason="banned")
        if self._overlays:
            return {**claims, **state.changes}
        if state.changes and not _is_newer(claims, state, by=0):
            raise InvalidCredential("The user of this JWT was changed; refresh it", reason="outdated")
        return claims

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the copy fresh while the block runs; a database that is away delays no start."""
        with suppress(Unavailable, SQLAlchemyError):
            await self.read()
        async with beside(self._keep(), name="denylist"):
            yield

    async def _keep(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.read()
                self._is_told = False
            except (Unavailable, SQLAlchemyError) as error:
                if not self._is_told:
                    self._is_told = True
                    self._observer.observe(DenylistUnreadable(reason=str(error).partition("\n")[0]))

    async def read(self) -> None:
        """Take over what is new.

        Raises:
            Unavailable: 503. SQLAlchemyError: The schema is not there yet.
        """
        async with self._database.unit_of_work() as work:
            self._horizon, entries = await RevocationRepository(work).list_since(self._horizon, self._window)
        new = [entry for entry in entries if entry.id not in self._seen]
        self._seen = {entry.id for entry in entries}
        self._take(new)
        if clock.monotonic_seconds() - self._forgot_at > FORGET_SECONDS:
            self._forget()

    def _take(self, entries: Sequence[Entry]) -> None:
        sessions = {entry.subject: entry.at for entry in entries if entry.kind == "session"}
        users = set[str]()
        for entry in entries:
            if entry.kind == "user":
                users.add(entry.subject)
                self._users.setdefault(entry.subject, UserState(entry.at)).merge(entry.at, entry.state or {})
        self._sessions |= sessions
        if sessions or users:
            for callback in self._ended:
                callback(sessions.keys(), users)

    def _forget(self) -> None:
        self._forgot_at = clock.monotonic_seconds()
        oldest = clock.unix_seconds() - self._window
        self._sessions = {name: at for name, at in self._sessions.items() if at > oldest}
        self._users = {name: state for name, state in self._users.items() if state.at > oldest}


def _is_newer(claims: Mapping[str, Any], state: UserState, *, by: float) -> bool:
    """Say whether a token was written from the user as it is since its last change.

    Tokens of ours say which version of the user they repeat. Of others there is only
    the second, by somebody's clock; it has to be later ``by`` seconds.
    """
    version = claims.get(VERSION_CLAIM)
    if state.version is not None and isinstance(version, int):
        return version >= state.version
    issued_at: float = claims.get("iat") or 0
    return issued_at >= state.at + by
