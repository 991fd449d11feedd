"""What a limited key may do to data: its scopes, held against what a request touches.

A request needs a permission for everything it touches:

    GET, HEAD          read of the relation, of each embedded one and of each that joins two
    POST               insert; with ``resolution=merge-duplicates`` update too
    PUT                insert and update
    PATCH, DELETE      update, delete
    POST … of a function   call of it, and read of what is embedded in its rows

``return=representation`` gives rows back, so it needs read as well. The filters of
a write are a part of the write. What a view or a function touches behind its name
is its own matter, as with grants.

Scopes never open anything: grants and row security hold for the key's role as for
anybody. What a request needs is worked out once for a catalog and decided once for
a set of scopes, so that a known request costs a look-up. Who is not limited pays
for none of this.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from modules.query import Call, Mutation, Read
from modules.rest.errors import ScopeMissing
from monohull.kernel.data_permissions import VERBS, Verb, relation_permissions, routine_permissions
from monohull.kernel.permissions import grants

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from modules.query import Compiled, Request
    from modules.rest.described import FunctionFacts, TableFacts

MAX_DECIDED: Final = 4000
"""Decisions kept; the one that was made first goes."""

METHODS: Final[dict[str, tuple[Verb, ...]]] = {
    "GET": ("read",),
    "HEAD": ("read",),
    "POST": ("insert",),
    "PUT": ("insert", "update"),
    "PATCH": ("update",),
    "DELETE": ("delete",),
}
"""What each method of a relation needs at least."""


class Scopes:
    """Decides for one catalog.

    Args:
        first: The first exposed schema; permissions need not name it.
    """

    def __init__(self, first: str) -> None:
        self._first = first
        self._missing: OrderedDict[tuple[Request, frozenset[str]], tuple[str, ...]] = OrderedDict()

    def demand_target(self, scopes: frozenset[str], request: Request) -> None:
        """Refuse a request whose relation or function is out of reach, whether or not there is one.

        Raises:
            ScopeMissing: MH103.
        """
        self._refuse(self._lacking(scopes, self._of_target(request)))

    def demand(self, scopes: frozenset[str], request: Request, compiled: Compiled) -> None:
        """Let a request pass when ``scopes`` hold the permission of everything it touches.

        Raises:
            ScopeMissing: MH103, with every name that is missing.
        """
        key = (request, scopes)
        missing = self._missing.get(key)
        if missing is None:
            missing = self._missing[key] = self._lacking(scopes, self._needs(request, compiled))
            if len(self._missing) > MAX_DECIDED:
                self._missing.popitem(last=False)
        self._refuse(missing)

    def verbs(self, scopes: frozenset[str], schema: str, name: str) -> frozenset[Verb]:
        """Return what may be done to a relation."""
        return frozenset(verb for verb in VERBS if self._holds(scopes, self._relation(schema, name, verb)))

    def may_call(self, scopes: frozenset[str], schema: str, name: str) -> bool:
        """Say whether a function may be called."""
        return self._holds(scopes, routine_permissions(schema, name, first=self._first))

    def demand_any(self, scopes: frozenset[str], schema: str, name: str) -> None:
        """Refuse what asks about a relation that nothing may be done to.

        Raises:
            ScopeMissing: MH103.
        """
        if not self.verbs(scopes, schema, name):
            self._refuse((self._relation(schema, name, "read")[0],))

    def allowed(self, scopes: frozenset[str], schema: str, name: str, allow: str) -> str:
        """Return those of a relation's methods that are within reach; OPTIONS always is."""
        held = self.verbs(scopes, schema, name)
        return ",".join(method for method in allow.split(",") if held.issuperset(METHODS.get(method, ())))

    def demand_call(self, scopes: frozenset[str], schema: str, name: str) -> None:
        """Refuse what asks about a function that may not be called.

        Raises:
            ScopeMissing: MH103.
        """
        self._refuse(self._lacking(scopes, [routine_permissions(schema, name, first=self._first)]))

    def _needs(self, request: Request, compiled: Compiled) -> Iterator[Sequence[str]]:
        """Yield each permission by the names it may be held under."""
        yield from self._of_target(request)
        own = (request.schema, request.relation) if isinstance(request, Mutation) else None
        for schema, name in sorted(compiled.relations):
            if (schema, name) != own:
                yield self._relation(schema, name, "read")

    def _of_target(self, request: Request) -> Iterator[Sequence[str]]:
        match request:
            case Read():
                yield self._relation(request.schema, request.relation, "read")
            case Call():
                yield routine_permissions(request.schema, request.function, first=self._first)
            case Mutation():
                for verb in _verbs_of(request):
                    yield self._relation(request.schema, request.relation, verb)

    def _relation(self, schema: str, name: str, verb: Verb) -> Sequence[str]:
        return relation_permissions(schema, name, verb, first=self._first)

    def _lacking(self, scopes: frozenset[str], needs: Iterable[Sequence[str]]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(names[0] for names in needs if not self._holds(scopes, names)))

    @staticmethod
    def _holds(scopes: frozenset[str], names: Sequence[str]) -> bool:
        return any(grants(scopes, name) for name in names)

    @staticmethod
    def _refuse(missing: tuple[str, ...]) -> None:
        if missing:
            raise ScopeMissing(missing)


class Sight(Struct, frozen=True):
    """What the description of a schema shows to a limited key."""

    scopes: Scopes
    held: frozenset[str]
    schema: str

    def table(self, table: TableFacts) -> TableFacts | None:
        """Return ``table`` with the methods that are within reach; None when none is."""
        hidden = self.hidden(table.name)
        return None if hidden is None else replace(table, hidden=hidden)

    def hidden(self, name: str) -> frozenset[str] | None:
        """Return the methods of a relation that are out of reach, in small letters; None when all are."""
        verbs = self.scopes.verbs(self.held, self.schema, name)
        if not verbs:
            return None
        return frozenset(method.lower() for method, needed in METHODS.items() if not verbs.issuperset(needed))

    def functions(self, functions: Iterable[FunctionFacts]) -> tuple[FunctionFacts, ...]:
        """Return those that may be called."""
        return tuple(one for one in functions if self.may_call(one.name))

    def may_call(self, name: str) -> bool:
        """Say whether a function may be called."""
        return self.scopes.may_call(self.held, self.schema, name)


def _verbs_of(mutation: Mutation) -> Iterator[Verb]:
    yield mutation.action
    conflict = mutation.conflict
    if mutation.matches_key or (conflict is not None and conflict.merge):
        yield "update"
    if mutation.returning == "representation":
        yield "read"
