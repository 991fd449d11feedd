"""`Facts` → JSON Schemas: what values of each type look like, what rows are and what writes take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from modules.rest.description.checks import constant, keywords_of
from modules.rest.description.comments import read_comment
from modules.rest.description.names import Names, component
from modules.rest.description.wire import digits_of, length_of, under, wire_of

if TYPE_CHECKING:
    from modules.query import Steps
    from modules.rest.description.facts import Column, Facts, FunctionFacts, RelationFacts, TypeFacts

Schema: TypeAlias = dict[str, Any]

_INTEGERS: Final = {
    "int2": ("int16", -(2**15), 2**15 - 1),
    "int4": ("int32", -(2**31), 2**31 - 1),
    "int8": ("int64", -(2**63), 2**63 - 1),
    "oid": ("int64", 0, 2**32 - 1),
}
_NUMBERS: Final = {"float4": "float", "float8": "double", "numeric": "decimal"}
_FORMATS: Final = {
    "uuid": "uuid",
    "date": "date",
    "timestamptz": "date-time",
    "timestamp": "date-time-local",
    "time": "time-local",
}
"""Of texts; others have the name that PostgreSQL gives the type, but for plain text."""
_TEXTS: Final = frozenset({"text", "varchar", "bpchar", "name", "citext", "char"})
_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "other": (list, dict),
}
"""What examples of columns are in Python."""
_MAX_DIGITS: Final = 15
"""More of them are not exact in JSON everywhere, so that a bound would say nothing."""


class Schemas:
    """Makes the schemas of one document and collects those that others refer to.

    Args:
        facts: Of the schema.

    Attributes:
        named: By the name of the component, in the order in which they were asked for.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._names = Names(component)
        self._row_types = {relation.row_type: relation.name for relation in facts.relations}
        self.named: dict[str, Schema] = {}
        for relation in facts.relations:  # they have the plainest names
            self.name("row", relation.name)

    def name(self, kind: str, of: str) -> str:
        """Return the component's name of a relation's rows, inserts or updates, or of another thing."""
        wanted = of if kind == "row" else f"{of}.{kind}"
        return self._names.name(wanted, kind, of)

    def reference(self, kind: str, of: str) -> Schema:
        return {"$ref": f"#/components/schemas/{self.name(kind, of)}"}

    def add(self, relation: RelationFacts) -> Steps[None]:
        """Add what a relation gives and takes."""
        comment = read_comment(relation.comment)
        about = {"description": comment.text or f"A row of {relation.name}."}
        examples = row_examples(relation)
        readable = [column for column in relation.columns if column.may_read]
        row = {
            **about,
            **({"examples": examples} if examples else {}),
            "type": "object",
            "properties": {column.name: self.column(column) for column in readable},
            "required": [column.name for column in readable],
        }
        self.named[self.name("row", relation.name)] = row
        yield
        if columns := insertable(relation):
            required = [one.name for one in columns if self.is_demanded(one, relation)]
            self.named[self.name("insert", relation.name)] = {
                "description": f"What an insert into {relation.name} takes.",
                "type": "object",
                "properties": {one.name: self.column(one, is_written=True) for one in columns},
                **({"required": required} if required else {}),
                "additionalProperties": False,
            }
            yield
        if columns := updatable(relation):
            self.named[self.name("update", relation.name)] = {
                "description": f"What an update of {relation.name} takes.",
                "type": "object",
                "properties": {one.name: self.column(one, is_written=True) for one in columns},
                "additionalProperties": False,
            }
            yield

    def column(self, column: Column, *, is_written: bool = False) -> Schema:
        """Return the schema of a column's values.

        Args:
            column: Which.
            is_written: In a body, and not in an answer.
        """
        schema = self.value(column.type, column.modifier)
        found = keywords_of(column.checks or ())
        schema = _constrained(schema, found)
        if not self.is_null_refused(column):
            schema = nullable(schema)
        comment = read_comment(column.comment)
        wire = self._wire(column.type)
        examples = comment.values(*_KINDS.get(wire, ()), is_text=wire == "string")
        default = constant(column.default)
        if isinstance(default, str) and wire != "string":
            default = None  # an array or the like, as PostgreSQL writes it
        return {
            **schema,
            **({"description": comment.text} if comment.text else {}),
            **({"default": default} if default is not None else {}),
            **({"examples": examples} if examples else {}),
            **({"readOnly": True} if column.is_computed and not is_written else {}),
        }

    def value(self, number: int, modifier: int = -1) -> Schema:
        """Return the schema of values of a type, null aside."""
        kind = self._facts.types[number]
        if kind.kind == "domain":
            return self._named_type(kind)
        if kind.element is not None:
            return {"type": "array", "items": nullable(self.value(kind.element, modifier))}
        if kind.kind in ("enum", "composite"):
            return self._named_type(kind)
        return plain(kind, modifier)

    def function(self, function: FunctionFacts) -> Schema:
        """Return the schema of what a function gives."""
        returned = self._facts.types[function.returns]
        if function.outputs:
            one: Schema = {
                "type": "object",
                "properties": {out.name: nullable(self.value(out.type)) for out in function.outputs},
                "required": [out.name for out in function.outputs],
            }
        elif function.returns in self._row_types:
            one = {"anyOf": [self.reference("row", self._row_types[function.returns]), SELECTED]}
        elif returned.kind == "composite":
            one = {"anyOf": [self.value(function.returns), SELECTED]}
        elif wire_of(returned) == "record":
            one = {"type": "object"}
        else:
            one = nullable(self.value(function.returns))
        return {"type": "array", "items": one} if function.is_set else one

    def _named_type(self, kind: TypeFacts) -> Schema:
        """Refer to an enumeration, domain or composite type, and add it where it is new."""
        if kind.oid in self._row_types:
            return self.reference("row", self._row_types[kind.oid])
        if kind.relation is not None:
            return {"type": "object"}  # a relation that may not be seen, or that is elsewhere
        is_here = kind.schema == self._facts.schema
        title = kind.name if is_here else f"{kind.schema}.{kind.name}"
        name = self._names.name(f"{title}.{kind.kind}", kind.oid)
        if name not in self.named:
            self.named[name] = {}  # a composite may hold itself in an array of it
            self.named[name] = self._type(kind)
        return {"$ref": f"#/components/schemas/{name}"}

    def _type(self, kind: TypeFacts) -> Schema:
        comment = read_comment(kind.comment)
        about = {"description": comment.text} if comment.text else {}
        if kind.kind == "enum":
            return {**about, "type": "string", "enum": list(kind.labels or ())}
        if kind.kind == "domain":
            assert kind.base is not None
            schema = self.value(kind.base, kind.modifier)
            found = keywords_of(kind.checks or ())
            return {**_constrained(schema, found), **about}
        return {
            **about,
            "type": "object",
            "properties": {
                one.name: nullable(self.value(one.type, one.modifier)) for one in kind.attributes or ()
            },
        }

    def _wire(self, number: int) -> str:
        kind = under(self._facts.types, number)
        return "other" if kind.element is not None or kind.kind == "composite" else wire_of(kind)

    def is_demanded(self, column: Column, relation: RelationFacts) -> bool:
        """Say whether an insert has to give the column a value."""
        return self.is_null_refused(column) and not column.has_value_of_its_own and not relation.is_view

    def is_null_refused(self, column: Column) -> bool:
        return column.is_required or self._facts.types[column.type].is_required


SELECTED: Final = {"$ref": "#/components/schemas/Selected"}


def row_examples(relation: RelationFacts) -> list[Any]:
    """Return the rows in a relation's comment."""
    names = {column.name for column in relation.columns}
    return [row for row in read_comment(relation.comment).values(dict) if row.keys() <= names]


def insertable(relation: RelationFacts) -> list[Column]:
    """Return the columns that an insert may give a value."""
    if not relation.allows_insert:
        return []
    return [one for one in relation.columns if one.may_insert and one.is_updatable and not one.is_computed]


def updatable(relation: RelationFacts) -> list[Column]:
    """Return the columns that an update may give a value."""
    if not relation.allows_update:
        return []
    return [one for one in relation.columns if one.may_update and one.is_updatable and not one.is_computed]


def plain(kind: TypeFacts, modifier: int = -1) -> Schema:
    """Return the schema of a type of PostgreSQL's own."""
    wire = wire_of(kind)
    if kind.name in _INTEGERS:
        form, least, most = _INTEGERS[kind.name]
        return {"type": "integer", "format": form, "minimum": least, "maximum": most}
    if wire == "number":
        return {"type": "number", "format": _NUMBERS[kind.name], **_digits(kind, modifier)}
    if wire in ("json", "record"):
        return {}
    if wire == "void":
        return {"type": "null"}
    if wire == "boolean":
        return {"type": "boolean"}
    length = length_of(kind, modifier)
    written = _FORMATS.get(kind.name) or (None if kind.name in _TEXTS else kind.name)
    return {
        "type": "string",
        **({"format": written} if written else {}),
        **({"maxLength": length} if length is not None else {}),
    }


def nullable(schema: Schema) -> Schema:
    """Return ``schema`` with null, which a type array says where it can.

    >>> nullable({"type": "string", "enum": ["a"]})
    {'type': ['string', 'null'], 'enum': ['a', None]}
    """
    if not schema or schema.get("type") == "null":
        return schema
    if "$ref" in schema or ("allOf" in schema and "type" not in schema):
        return {"anyOf": [schema, {"type": "null"}]}
    widened = {**schema, "type": [schema["type"], "null"]}
    if "enum" in widened:
        widened["enum"] = [*widened["enum"], None]
    return widened


def _digits(kind: TypeFacts, modifier: int) -> Schema:
    found = digits_of(kind, modifier)
    if found is None:
        return {}
    digits, scale = found
    if digits > _MAX_DIGITS or scale < 0:
        return {}
    most = (10**digits - 1) / 10**scale if scale else 10**digits - 1
    return {"minimum": -most, "maximum": most}


def _constrained(schema: Schema, found: Schema) -> Schema:
    return {"allOf": [schema], **found} if "$ref" in schema and found else _merged(schema, found)


def _merged(schema: Schema, found: Schema) -> Schema:
    """Return both: of two bounds the one that leaves less."""
    merged = {**schema, **found}
    for keyword, choose in (("minimum", max), ("maximum", min), ("maxLength", min)):
        if keyword in schema and keyword in found:
            merged[keyword] = choose(schema[keyword], found[keyword])
    for strict, loose in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if strict in found and loose not in found:
            merged.pop(loose, None)
    return merged
