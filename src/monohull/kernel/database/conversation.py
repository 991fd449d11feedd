"""`Conversation`: one transaction over several round trips, for what looks at an answer before it goes on.

A data request is one round trip and cannot fail halfway. What asks again after it
got an answer holds a connection meanwhile, and locks; so it is for those that
need it, and each says how it ends. Left any other way, by an error, a
cancellation or without `finish`, nothing of it took effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from monohull.kernel.database.exchange import ConnectionLost, ResultTooLarge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from monohull.kernel.database.login import Login
    from monohull.kernel.database.statements import (
        BoundSettings,
        Isolation,
        Rows,
        Settings,
        Span,
        Statement,
    )
    from monohull.kernel.database.wire import Wire
    from monohull.kernel.errors import Problem

_MODE: Final = "transaction_read_only"


class Conversation:
    """A transaction that is open on one connection; `DataPool.conversation` makes it.

    It runs statements as the pool does, so whatever runs on the pool can be made a part of it.

    Args:
        wire: The connection, which is nobody else's meanwhile.
        login: Who logged in on it.
        isolation: Of the transaction, or None for the server's default.
        writes: It may write from beginning to end: settings that make it read only are left out, for they
            would hold for the rest of it.
        explain: Says what is answered to a client whose connection ended or whose result is too large.

    Attributes:
        has_begun: Whether the first statements were answered.
        commits: What `finish` ends it with; whoever runs statements with ``commit=False`` wants it otherwise.
        tag: Settings by which the database's own people know it (`traced`).
    """

    def __init__(
        self,
        wire: Wire,
        login: Login,
        isolation: Isolation | None,
        explain: Callable[[ConnectionLost | ResultTooLarge], Problem],
        *,
        writes: bool,
    ) -> None:
        self.commits = True
        self._wire = wire
        self._login = login
        self._isolation = isolation
        self._explain = explain
        self._writes = writes
        self.has_begun = False
        self.tag: tuple[tuple[str, str], ...] = ()

    async def run_batch(
        self,
        statements: Sequence[Statement],
        *,
        settings: Settings = (),
        commit: bool = True,
        isolation: Isolation | None = None,  # noqa: ARG002 it was said when the transaction began
        streams: bool = False,  # noqa: ARG002 what comes later might fail, so nothing goes out before
    ) -> list[Rows]:
        """Run ``statements`` in order; settings hold from here on. Return the rows of each.

        Raises:
            PostgresError: The server refused a statement; the whole transaction is over.
            DatabaseUnavailable: 503, the connection ended, and the transaction with it.
            ResultExceedsCeiling: 400, the rows have too many bytes.
        """
        self.commits = self.commits and commit
        return await self._exchange(statements, settings, "inner" if self.has_begun else "first")

    async def run_known(self, statement: Statement, settings: BoundSettings) -> Rows:
        """Run one statement; see `run_batch`."""
        [rows] = await self.run_batch((statement,), settings=settings)
        return rows

    async def finish(self, statements: Sequence[Statement] = (), *, settings: Settings = ()) -> list[Rows]:
        """Run the last statements and end the transaction; return the rows of each.

        Raises:
            PostgresError: The server refused a statement or the COMMIT; nothing took effect.
            DatabaseUnavailable: 503, the connection ended; whether all took effect or nothing is not known.
        """
        return await self._exchange(statements, settings, "last")

    async def _exchange(self, statements: Sequence[Statement], settings: Settings, span: Span) -> list[Rows]:
        said = self._login.effective_settings(settings) if settings else ()
        if self._writes:
            said = [pair for pair in said if pair[0] != _MODE]
        if self.tag and not self.has_begun:
            said = [*said, *self.tag]
        try:
            results = await self._wire.exchange(
                statements, said, commit=self.commits, isolation=self._isolation, span=span
            )
        except (ConnectionLost, ResultTooLarge) as error:
            raise self._explain(error) from error
        self.has_begun = True
        return results
