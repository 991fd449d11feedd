"""The unit of work: one transaction, committed at the edge.

Code inside a unit adds, changes and flushes; it never commits. What has to
happen once the rows are visible to others (waking the relay, for example) is
left with `after_commit`, and is forgotten when the unit fails.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from monohull.kernel.observation import Level, Observation, Observer

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

AfterCommit: TypeAlias = Callable[[], Awaitable[None]]

_CALLBACKS: Final = "monohull.after_commit"


class AfterCommitFailed(Observation, frozen=True, kw_only=True):
    """Something that was to happen after a commit raised; the commit itself stands."""

    event: ClassVar[str] = "database.after_commit_failed"
    level: ClassVar[Level] = "error"

    callback: str
    error: str


def after_commit(session: AsyncSession, callback: AfterCommit) -> None:
    """Call ``callback`` when this unit of work has been committed.

    Callbacks run one after the other in the order they were added, outside the
    transaction and after its connection went back. The same callback added
    twice runs once. One that raises is observed; the caller's work is done and
    does not fail by it.
    """
    callbacks: list[AfterCommit] = session.info.setdefault(_CALLBACKS, [])
    if callback not in callbacks:
        callbacks.append(callback)


@asynccontextmanager
async def unit_of_work(
    sessions: async_sessionmaker[AsyncSession], observer: Observer
) -> AsyncIterator[AsyncSession]:
    """Open a session, commit it when the block ends, roll it back when the block raises."""
    async with sessions() as session, session.begin():
        yield session
    for callback in session.info.pop(_CALLBACKS, ()):
        try:
            await callback()
        except Exception as error:  # noqa: BLE001 the boundary: committed work must not look failed
            name = getattr(callback, "__qualname__", type(callback).__name__)
            observer.observe(AfterCommitFailed(callback=name, error=f"{type(error).__name__}: {error}"))
