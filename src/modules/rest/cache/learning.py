"""`Learning`: the first reads of a kind that come at once, so that one of them goes the whole way for all.

A kind of read is cached once it is known (`known.Memory`), and it is known once one was answered. Those that
come meanwhile wait for that, and then for one read together; what cannot be known is not waited for again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

MAX_OTHERS: Final = 2000
"""Kinds of which it is remembered that they are not learnt; then that begins anew."""


class Learning:
    """The kinds of reads that are being learnt in one process."""

    def __init__(self) -> None:
        self._going: dict[Hashable, asyncio.Event] = {}
        self._others: set[Hashable] = set()

    async def first(
        self, kind: Hashable, serve: Callable[[], Awaitable[None]], is_learnt: Callable[[], bool]
    ) -> bool:
        """Serve the first of its kind; say whether this one was that. The others return when it is over.

        Raises:
            Whatever ``serve`` raises.
        """
        going = self._going.get(kind)
        if going is not None:
            await going.wait()
            return False
        if kind in self._others:
            await serve()
            return True
        going = self._going[kind] = asyncio.Event()
        try:
            await serve()
        finally:
            del self._going[kind]
            going.set()
        if not is_learnt():
            if len(self._others) >= MAX_OTHERS:
                self._others.clear()
            self._others.add(kind)
        return True
