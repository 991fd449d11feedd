"""`Facts` → Python: a `TypedDict` for what each table gives and takes, under ``mypy --strict``.

    class Orders(TypedDict)            a row, as GET gives it
    class OrdersInsert(TypedDict)      what POST takes; what the database fills in is NotRequired
    class OrdersUpdate(TypedDict)      what PATCH takes
    class PlaceOrderArgs(TypedDict)    what a function takes; PlaceOrderReturns is what it gives

Rows are what ``json.loads`` makes of an answer, so nothing is needed at run time
but the standard library. Relations of other schemas than the first carry the
schema in their name. Names that Python does not take as they are, of columns
too, are changed or written as strings; which relation a class belongs to stands
in its docstring or comment.
"""

from __future__ import annotations

import keyword
from typing import TYPE_CHECKING, Final

from modules.rest.description.names import Names, pascal
from modules.rest.description.wire import under, wire_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modules.query import Steps
    from modules.rest.description.facts import Column, Facts, FunctionFacts, RelationFacts, TypeFacts

_HEAD: Final = '''\
"""What the data API gives and takes. Written by ``monohull gen types --lang python``; not to be edited."""

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

Json: TypeAlias = "str | int | float | bool | None | dict[str, Json] | list[Json]"
'''
_TAKEN: Final = ("Any", "Json", "Literal", "NotRequired", "TypeAlias", "TypedDict", "None", "True", "False")
_WORDS: Final = {
    "boolean": "bool",
    "integer": "int",
    "number": "float",
    "string": "str",
    "json": "Json",
    "void": "None",
    "record": "dict[str, Any]",
}


class _Field:
    """One key of a TypedDict."""

    __slots__ = ("is_optional", "name", "type")

    def __init__(self, name: str, type_: str, *, is_optional: bool = False) -> None:
        self.name = name
        self.type = type_
        self.is_optional = is_optional


def write_python(schemas: Sequence[Facts]) -> Steps[str]:
    """Return the source of a module; relations of the first schema are named without it."""
    writer = _Writer(schemas)
    for facts in schemas:
        for kind in facts.types.values():
            writer.declare(kind, facts)
            yield
    for facts in schemas:
        for relation in facts.relations:
            writer.relation(relation, facts)
            yield
    for facts in schemas:
        for function in facts.functions:
            if all(one.name for one in function.parameters):
                writer.function(function, facts)
            yield
    return "".join([_HEAD, *writer.parts])


class _Writer:
    """Writes definitions in an order in which each finds those before it.

    What refers to a later one is quoted.
    """

    def __init__(self, schemas: Sequence[Facts]) -> None:
        self.parts: list[str] = []
        self._default = schemas[0].schema
        self._names = Names(pascal, _TAKEN)
        self._written: set[str] = set()
        self._listed: set[tuple[str, str]] = set()
        self._described = {(facts.schema, one.name) for facts in schemas for one in facts.relations}
        for facts in schemas:  # rows have the plainest names
            for relation in facts.relations:
                self._row_name(facts.schema, relation.name)

    def declare(self, kind: TypeFacts, facts: Facts) -> None:
        """Write an enumeration or a composite type, once, after those that it is made of."""
        key = (kind.schema, kind.name)
        if kind.kind not in ("enum", "composite") or kind.relation is not None or key in self._listed:
            return
        self._listed.add(key)
        for one in kind.attributes or ():
            inner = under(facts.types, one.type)
            self.declare(under(facts.types, inner.element) if inner.element else inner, facts)
        name = self._type_name(kind)
        title = f"{kind.schema}.{kind.name}"
        if kind.kind == "enum":
            values = f"Literal[{', '.join(map(_text, kind.labels))}]" if kind.labels else "str"
            self.parts.append(f"\n{_comment(title)}{name}: TypeAlias = {values}\n")
            self._written.add(name)
        else:
            fields = [_Field(one.name, _or_none(self.type(one.type, facts))) for one in kind.attributes or ()]
            self._dict(name, title, fields)

    def relation(self, relation: RelationFacts, facts: Facts) -> None:
        """Write what a relation gives and takes."""
        title = f"{facts.schema}.{relation.name}"
        row = self._row_name(facts.schema, relation.name)
        self._dict(
            row, f"A row of {title}.", [self._column(one, facts) for one in relation.columns if one.may_read]
        )
        for verb, allows in (("Insert", relation.allows_insert), ("Update", relation.allows_update)):
            if allows:
                fields = [
                    self._written_column(one, relation, facts, is_update=verb == "Update")
                    for one in relation.columns
                    if not one.is_computed
                    and one.is_updatable
                    and (one.may_insert if verb == "Insert" else one.may_update)
                ]
                name = self._names.name(f"{row}{verb}", verb, facts.schema, relation.name)
                self._dict(name, f"What an {verb.lower()} of {title} takes.", fields)

    def function(self, function: FunctionFacts, facts: Facts) -> None:
        """Write what a function takes and gives; of those with one name each has a number."""
        place = (facts.schema, function.name, tuple(one.type for one in function.parameters))
        title = f"{facts.schema}.{function.name}"
        whole = self._qualified(facts.schema, function.name)
        name = self._names.name(f"{whole}_args", "args", *place)
        self._dict(
            name,
            f"Arguments of {title}.",
            [
                _Field(one.name, self.type(one.type, facts), is_optional=one.has_default)
                for one in function.parameters
            ],
        )
        if function.outputs:
            returned = self._names.name(f"{whole}_row", "row", *place)
            self._dict(
                returned,
                f"A row of what {title} gives.",
                [_Field(one.name, _or_none(self.type(one.type, facts))) for one in function.outputs],
            )
        else:
            returned = self.type(function.returns, facts)
            if returned not in ("None", "Json"):
                returned = returned if function.is_set else f"{returned} | None"
        returned = f"list[{returned}]" if function.is_set else returned
        name = self._names.name(f"{whole}_returns", "returns", *place)
        self.parts.append(f"\n{_comment(f'What {title} gives.')}{name}: TypeAlias = {self._safe(returned)}\n")

    def type(self, number: int, facts: Facts) -> str:
        """Return the type of a value, null aside."""
        kind = under(facts.types, number)
        if kind.element is not None:
            return f"list[{self.type(kind.element, facts)}]"
        if kind.kind == "enum":
            return self._type_name(kind)
        if kind.kind == "composite":
            if kind.relation is None:
                return self._type_name(kind)
            key = (kind.schema, kind.name)
            return self._row_name(*key) if key in self._described else "dict[str, Any]"
        return _WORDS[wire_of(kind)]

    def _column(self, column: Column, facts: Facts) -> _Field:
        kind = self.type(column.type, facts)
        is_required = column.is_required or facts.types[column.type].is_required
        return _Field(column.name, kind if is_required else _or_none(kind))

    def _written_column(
        self, column: Column, relation: RelationFacts, facts: Facts, *, is_update: bool
    ) -> _Field:
        field = self._column(column, facts)
        is_required = column.is_required or facts.types[column.type].is_required
        field.is_optional = is_update or relation.is_view or not is_required or column.has_value_of_its_own
        return field

    def _row_name(self, schema: str, name: str) -> str:
        return self._names.name(self._qualified(schema, name), "row of", schema, name)

    def _type_name(self, kind: TypeFacts) -> str:
        return self._names.name(self._qualified(kind.schema, kind.name), "type", kind.schema, kind.name)

    def _qualified(self, schema: str, name: str) -> str:
        return name if schema == self._default else f"{schema}_{name}"

    def _safe(self, annotation: str) -> str:
        """Quote what names a class that is not written yet."""
        words = set(_identifiers(annotation)) - {*_TAKEN, "int", "float", "str", "bool", "dict", "list"}
        return annotation if words <= self._written else _text(annotation)

    def _dict(self, name: str, title: str, fields: Sequence[_Field]) -> None:
        entries = [(one.name, self._entry(one)) for one in fields]
        if all(_is_plain(key) for key, _ in entries):
            lines = [f"    {key}: {value}\n" for key, value in entries]
            is_doc = title.isprintable() and '"' not in title and "\\" not in title
            doc = " ".join(title.split()) if is_doc else ""
            head = f'    """{doc}"""\n' if doc else ""
            above = "" if doc else _comment(title)
            body = "".join(lines) or ("" if doc else "    pass\n")
            gap = "\n" if doc and lines else ""
            self.parts.append(f"\n\n{above}class {name}(TypedDict):\n{head}{gap}{body}")
        else:
            lines = [f"        {_text(key)}: {value},\n" for key, value in entries]
            head = f"\n{_comment(title)}{name} = TypedDict(\n    {_text(name)},\n    {{\n"
            self.parts.append(f"{head}{''.join(lines)}    }},\n)\n")
        self._written.add(name)

    def _entry(self, field: _Field) -> str:
        kind = self._safe(field.type)
        return f"NotRequired[{kind}]" if field.is_optional else kind


def _identifiers(annotation: str) -> Iterator[str]:
    word = ""
    for one in f"{annotation} ":
        if one == "_" or f"a{one}".isidentifier():
            word += one
        elif word:
            yield word
            word = ""


def _is_plain(key: str) -> bool:
    """Say whether a key can stand in a class: names with two underscores in front are changed there."""
    return key.isidentifier() and key.isascii() and not keyword.iskeyword(key) and not key.startswith("__")


def _or_none(kind: str) -> str:
    return kind if kind in ("None", "Json") else f"{kind} | None"


def _comment(text: str) -> str:
    return f"# {' '.join(repr(text)[1:-1].split())}\n"


def _text(text: str) -> str:
    """Write a string as the formatters of Python do, in double quotes where that is shorter."""
    plain = repr(text)
    if plain.startswith("'") and '"' not in plain:
        return f'"{plain[1:-1]}"'
    return plain
