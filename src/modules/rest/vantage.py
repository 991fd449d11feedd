"""`Vantage`: the catalog as some callers see it, with all that was found out while they asked.

Nearly everybody sees the whole of it, and shares one. Whoever is limited to some
columns has a catalog without the others, and so statements, known reads and
decisions of its own; callers with the same limits share them. A new catalog or
configuration brings new ones.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from modules.rest.known import Memory
from modules.rest.known_write import METHODS, WriteMemory
from modules.rest.scopes import Scopes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.query import Catalog, Compiled, Compiler
    from modules.rest.request import ApiRequest
    from modules.rest.response import Answer
    from monohull.kernel.column_limits import ColumnLimits

MAX_LIMITED: Final = 50
"""Sets of limits in use, each with up to some MB of what is known; the one that was used last stays."""


class Memories(Struct, frozen=True):
    """What is known for one catalog and one configuration, neither of which it holds."""

    reads: Memory
    writes: WriteMemory

    def learn(
        self, scope: Mapping[str, Any], request: ApiRequest, compiled: Compiled, answer: Answer
    ) -> None:
        """Remember how a request was answered, if its like can be answered so."""
        method: str = scope["method"]
        if method == "GET":
            self.reads.learn(scope, request, compiled, answer)
        elif method in METHODS:
            self.writes.learn(scope, request, compiled, answer)


class Vantage:
    """What one catalog is to some callers.

    Args:
        catalog: As it was read.
        compiler: Of what they see of it.
        first: The first exposed schema.

    Attributes:
        memory: The reads and writes that are known.
        scopes: Decides what limited keys may do.
    """

    __slots__ = ("_first", "_limited", "catalog", "compiler", "memory", "scopes")

    def __init__(self, catalog: Catalog, compiler: Compiler, first: str) -> None:
        self.catalog = catalog
        self.compiler = compiler
        self.memory = Memories(Memory(), WriteMemory())
        self.scopes = Scopes(first)
        self._first = first
        self._limited: OrderedDict[ColumnLimits, Vantage] = OrderedDict()

    def limited(self, limits: ColumnLimits) -> Vantage:
        """Return that of callers who see some columns alone."""
        found = self._limited.get(limits)
        if found is None:
            found = self._limited[limits] = Vantage(self.catalog, self.compiler.limited(limits), self._first)
            if len(self._limited) > MAX_LIMITED:
                self._limited.popitem(last=False)
        else:
            self._limited.move_to_end(limits)
        return found
