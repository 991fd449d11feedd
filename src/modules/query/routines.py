"""Which function a call means: by its name, the names of its arguments, and the kind of its body.

Arguments go by name. A routine fits when all names are parameters of it and all
parameters without default are named. Where none fits, one with a single unnamed
parameter takes the whole body, if the body is of the parameter's type.

Source: PostgREST 16, ``Plan.hs`` (`findProc`) and ``Error.hs`` (`noRpcHint`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

from modules.query.errors import RoutineAmbiguous, RoutineNotFound
from modules.query.similarity import most_similar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from modules.query.columns import Key, TableColumn

Content: TypeAlias = Literal["none", "named", "json", "text", "xml", "octets"]
"""What the body of a call is: ``named`` holds nothing but named arguments, ``json`` may hold them."""
Volatility: TypeAlias = Literal["immutable", "stable", "volatile"]

TAKEN_WHOLE: Final[Mapping[Content, frozenset[str]]] = {
    "json": frozenset({"json", "jsonb"}),
    "text": frozenset({"text"}),
    "xml": frozenset({"xml"}),
    "octets": frozenset({"bytea"}),
}
"""Types of the one unnamed parameter that takes a body of this kind."""

_UNNAMED_ONLY: Final[Mapping[Content, str]] = {"text": "text", "xml": "xml", "octets": "bytea"}
"""Bodies without names in them, and the type that a refusal speaks of."""

SIMILAR_ROUTINE: Final = 0.75


class Parameter(Struct, frozen=True, order=True, gc=False):
    """An argument that a routine takes.

    Attributes:
        name: Empty when it has none.
        type: With its schema, unless it is one of the server's own.
        is_required: It has no default.
        is_variadic: It is an array that takes all arguments left.
    """

    name: str
    type: str
    is_required: bool = True
    is_variadic: bool = False

    @property
    def cast(self) -> str:
        """The type an argument is cast to: ``bit`` and ``character`` would cut it to one place."""
        return _WIDE.get(self.type, self.type)


_WIDE: Final = {
    "bit": "bit varying",
    "bit[]": "bit varying[]",
    "character": "character varying",
    "character[]": "character varying[]",
}


class Routine(Struct, frozen=True, gc=False):
    """A function that can be called.

    Attributes:
        parameters: Those that go in, in their order.
        is_row: It gives rows with columns, and not values.
        is_set: It gives any number of them.
        is_void: It gives nothing.
        relation: The table or view whose rows it gives, or None.
        columns: Columns of its rows; empty for values and for rows that are known once it runs.
        settings: What ALTER FUNCTION … SET says of it.
    """

    schema: str
    name: str
    parameters: tuple[Parameter, ...] = ()
    volatility: Volatility = "volatile"
    is_row: bool = False
    is_set: bool = False
    is_void: bool = False
    relation: Key | None = None
    columns: Mapping[str, TableColumn] = {}
    settings: tuple[tuple[str, str], ...] = ()
    comment: str | None = None

    @property
    def key(self) -> Key:
        return (self.schema, self.name)

    @property
    def is_read_only(self) -> bool:
        """It says of itself that it writes nothing."""
        return self.volatility != "volatile"

    @property
    def takes_body(self) -> bool:
        """Its only parameter has no name."""
        return len(self.parameters) == 1 and not self.parameters[0].name

    def fits(self, given: frozenset[str], content: Content) -> bool:
        """Say whether these arguments can be given to it by name."""
        if not self.parameters:
            return not given and content not in _UNNAMED_ONLY
        names = {parameter.name for parameter in self.parameters}
        required = {parameter.name for parameter in self.parameters if parameter.is_required}
        return required <= given <= names

    def takes(self, content: Content) -> bool:
        """Say whether it takes a body of this kind as a whole."""
        return self.takes_body and self.parameters[0].type in TAKEN_WHOLE.get(content, ())


Routines: TypeAlias = "Mapping[Key, tuple[Routine, ...]]"
"""By schema and name, in the order in which they are listed."""


def find_routine(routines: Routines, key: Key, given: frozenset[str], content: Content) -> Routine:
    """Return the one routine named ``key`` that takes these arguments.

    Args:
        routines: What there is.
        key: Schema and name.
        given: Names of the arguments.
        content: What the body is.

    Raises:
        RoutineNotFound: PGRST202, none takes them.
        RoutineAmbiguous: PGRST203, several do.
    """
    overloads = routines.get(key, ())
    found = [one for one in overloads if one.fits(given, content)] or [
        one for one in overloads if one.takes(content)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise RoutineAmbiguous([_signature(one) for one in found])
    raise _not_found(routines, key, sorted(given), content)


def ordered(overloads: Iterable[Routine]) -> tuple[Routine, ...]:
    """Return routines of one name as they are listed: fewer parameters first."""
    return tuple(
        sorted(
            overloads,
            key=lambda one: (
                len(one.parameters),
                one.comment is not None,
                one.comment or "",
                one.parameters,
            ),
        )
    )


def _signature(routine: Routine) -> str:
    parameters = ", ".join(f"{one.name} => {one.type}" for one in routine.parameters)
    return f"{routine.schema}.{routine.name}({parameters})"


def _not_found(routines: Routines, key: Key, given: Sequence[str], content: Content) -> RoutineNotFound:
    schema, name = key
    function = f"{schema}.{name}"
    listed = ", ".join(given)
    if (unnamed := _UNNAMED_ONLY.get(content)) is not None:
        return RoutineNotFound(function, f" with a single unnamed {unnamed} parameter", hint=None)
    if given:
        shown, sought = f"{function}({listed})", f" with parameter{'s' if len(given) > 1 else ''} {listed}"
    else:
        shown, sought = f"{function} without parameters", " without parameters"
    if content == "json":
        sought += " or with a single unnamed json/jsonb parameter"
    return RoutineNotFound(shown, sought, hint=_similar(routines, key, listed), function=function)


def _similar(routines: Routines, key: Key, listed: str) -> str | None:
    """Word the suggestion: another function, or other parameters of this one."""
    schema, name = key
    if overloads := routines.get(key):
        lists = [
            "(" + ", ".join(sorted(parameter.name for parameter in one.parameters)) + ")" for one in overloads
        ]
        best = most_similar(f"({listed})", lists)
        return f"{schema}.{name}{best}" if best else None
    names = (other for where, other in routines if where == schema)
    best = most_similar(name, names, min_score=SIMILAR_ROUTINE)
    return f"{schema}.{best}" if best else None
