"""`Facts` → TypeScript: the type ``Database`` that supabase-js takes, with the helper types around it.

The form is that of Supabase's own generator, so whoever comes from there changes
no line of their code; where it says ``unknown`` of a value that is always a text
(ranges, network addresses, domains of functions) this says what it is.

Source of the form: @supabase/postgrest-typegen 0.2.2.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from modules.rest.description.wire import under, wire_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from modules.query import Catalog, Relationship, Steps
    from modules.rest.description.facts import (
        ArgumentFacts,
        Column,
        Facts,
        FunctionFacts,
        RelationFacts,
        TypeFacts,
    )

_PLAIN: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_NOTHING: Final = "[_ in never]: never"
_WORDS: Final = {
    "boolean": "boolean",
    "integer": "number",
    "number": "number",
    "string": "string",
    "json": "Json",
    "void": "undefined",
    "record": "Record<string, unknown>",
}
_UNNAMED: Final = frozenset({"json", "jsonb", "text", "bytea", "xml"})
"""Types of the one unnamed parameter that takes the whole body."""

_JSON: Final = """\
export type Json =
  | string
  | number
  | boolean
  | null
  | { [key: string]: Json | undefined }
  | Json[]
"""


def write_typescript(schemas: Sequence[Facts], catalog: Catalog, *, default: str) -> Steps[str]:
    """Return the source of a module.

    Args:
        schemas: What it describes.
        catalog: Knows the relationships.
        default: The schema that helper types mean when they are given a name alone.
    """
    names = frozenset(facts.schema for facts in schemas)
    parts = [_JSON, "\nexport type Database = {\n"]
    parts.append(
        "  // Lets createClient choose what this release of the data API can do.\n"
        '  __InternalSupabase: {\n    PostgrestVersion: "14"\n  }\n'
    )
    for facts in schemas:
        lines = yield from _Schema(facts, catalog, names).lines()
        parts.append("".join(f"  {line}\n" if line else "\n" for line in lines))
    parts.append("}\n")
    parts.append(_HELPERS.replace("%DEFAULT%", _text(default)))
    parts.append("\nexport const Constants = {\n")
    for facts in schemas:
        parts.append(f"  {_key(facts.schema)}: {{\n    Enums: {{\n")
        parts += [
            f"      {_key(kind.name)}: [{', '.join(map(_text, kind.labels or ()))}],\n"
            for kind in _enums(facts)
        ]
        parts.append("    },\n  },\n")
    parts.append("} as const\n")
    return "".join(parts)


class _Schema:
    """Writes one schema.

    Args:
        facts: Of it.
        catalog: Knows the relationships.
        described: Names of all schemas that are written: types in others are written out.
    """

    def __init__(self, facts: Facts, catalog: Catalog, described: frozenset[str]) -> None:
        self._facts = facts
        self._catalog = catalog
        self._described = described
        self._by_row_type = {relation.row_type: relation for relation in facts.relations}
        self._computed: dict[int, list[FunctionFacts]] = {}
        for function in facts.functions:
            if len(function.parameters) == 1 and (of := self._relation(function.parameters[0].type)):
                self._computed.setdefault(of.row_type, []).append(function)

    def lines(self) -> Steps[list[str]]:
        facts = self._facts
        lines = [f"{_key(facts.schema)}: {{", "  Tables: {"]
        tables = [relation for relation in facts.relations if not relation.is_view]
        views = [relation for relation in facts.relations if relation.is_view]
        for table in tables:
            lines += self._table(table)
            yield
        lines += [*([] if tables else [f"    {_NOTHING}"]), "  }", "  Views: {"]
        for view in views:
            lines += self._view(view)
            yield
        lines += [*([] if views else [f"    {_NOTHING}"]), "  }", "  Functions: {"]
        functions: dict[str, list[FunctionFacts]] = {}
        for function in facts.functions:
            if self._is_listed(function):
                functions.setdefault(function.name, []).append(function)
        for name, overloads in functions.items():
            lines += self._function(name, overloads)
            yield
        lines += [*([] if functions else [f"    {_NOTHING}"]), "  }", "  Enums: {"]
        enums = list(_enums(facts))
        lines += [f"    {_key(one.name)}: {_literals(one)}" for one in enums]
        lines += [*([] if enums else [f"    {_NOTHING}"]), "  }", "  CompositeTypes: {"]
        composites = [one for one in _own(facts) if one.kind == "composite" and one.relation is None]
        for one in composites:
            fields = [
                f"      {_key(field.name)}: {_or_null(self.type(field.type))}"
                for field in one.attributes or ()
            ]
            lines += [f"    {_key(one.name)}: {{", *fields, "    }"]
        lines += [*([] if composites else [f"    {_NOTHING}"]), "  }", "}"]
        return lines

    def type(self, number: int) -> str:
        """Return the type of a value, null aside."""
        kind = under(self._facts.types, number)
        if kind.element is not None:
            return f"({self.type(kind.element)})[]"
        if kind.kind == "enum":
            is_here = kind.schema in self._described
            return _place(kind.schema, "Enums", kind.name) if is_here else _literals(kind)
        if kind.kind == "composite":
            return self._composite(kind)
        return _WORDS[wire_of(kind)]

    def _composite(self, kind: TypeFacts) -> str:
        if kind.schema not in self._described:
            return "unknown"
        if kind.relation is None:
            return _place(kind.schema, "CompositeTypes", kind.name)
        if kind.schema == self._facts.schema and kind.oid not in self._by_row_type:
            return "unknown"  # a partition, or a table that may not be seen
        return _place(kind.schema, "Views" if kind.relation in "vm" else "Tables", kind.name) + "['Row']"

    def _table(self, table: RelationFacts) -> Iterator[str]:
        yield f"    {_key(table.name)}: {{"
        yield from self._row(table)
        for title in ("Insert", "Update"):
            yield f"      {title}: {{"
            columns = [one for one in table.columns if _may_be_given(one, title)]
            if not columns:
                yield f"        {_NOTHING}"
            for column in columns:
                if column.is_computed:
                    yield f"        {_key(column.name)}?: never"
                    continue
                is_optional = (
                    title == "Update" or not self._is_required(column) or column.has_value_of_its_own
                )
                yield f"        {_key(column.name)}{'?' if is_optional else ''}: {self._value(column)}"
            yield "      }"
        yield from self._relationships(table)
        yield "    }"

    def _view(self, view: RelationFacts) -> Iterator[str]:
        yield f"    {_key(view.name)}: {{"
        yield from self._row(view)
        for title, allows in (("Insert", view.allows_insert), ("Update", view.allows_update)):
            if not allows:
                continue
            yield f"      {title}: {{"
            for column in view.columns:
                if not _may_be_given(column, title):
                    continue
                value = _or_null(self.type(column.type)) if column.is_updatable else "never"
                yield f"        {_key(column.name)}?: {value}"
            yield "      }"
        yield from self._relationships(view)
        yield "    }"

    def _row(self, relation: RelationFacts) -> Iterator[str]:
        yield "      Row: {"
        for column in relation.columns:
            if column.may_read:
                yield f"        {_key(column.name)}: {self._value(column)}"
        for function in self._computed.get(relation.row_type, ()):
            yield f"        {_key(function.name)}: {_or_null(self._returned(function))}"
        yield "      }"

    def _is_required(self, column: Column) -> bool:
        return column.is_required or self._facts.types[column.type].is_required

    def _value(self, column: Column) -> str:
        kind = self.type(column.type)
        if not self._is_required(column):
            return _or_null(kind)
        return "NonNullable<Json>" if kind == "Json" else kind

    def _relationships(self, relation: RelationFacts) -> Iterator[str]:
        schema = self._facts.schema
        ways = [
            way
            for way in self._catalog.related((schema, relation.name))
            if way.is_referring and way.target[0] == schema
        ]
        if not ways:
            yield "      Relationships: []"
            return
        yield "      Relationships: ["
        for way in sorted(ways, key=_rank):
            yield "        {"
            yield f"          foreignKeyName: {_text(way.constraint)}"
            yield f"          columns: {_list(here for here, _ in way.pairs)}"
            yield f"          isOneToOne: {str(way.cardinality == 'one-to-one').lower()}"
            yield f"          referencedRelation: {_text(way.target[1])}"
            yield f"          referencedColumns: {_list(there for _, there in way.pairs)}"
            yield "        },"
        yield "      ]"

    def _is_listed(self, function: FunctionFacts) -> bool:
        """Say whether all its parameters have names, or the only one takes a body or a row."""
        unnamed = [one for one in function.parameters if not one.name]
        if not unnamed:
            return True
        if len(function.parameters) > 1:
            return False
        kind = self._facts.types[unnamed[0].type]
        return kind.name in _UNNAMED or self._relation(kind.oid) is not None

    def _function(self, name: str, overloads: Sequence[FunctionFacts]) -> Iterator[str]:
        if len(overloads) == 1:
            [only] = overloads
            yield f"    {_key(name)}: {{"
            yield from (f"      {line}" for line in self._signature(only, overloads))
            yield "    }"
            return
        yield f"    {_key(name)}:"
        for function in overloads:
            yield "      | {"
            yield from (f"          {line}" for line in self._signature(function, overloads))
            yield "        }"

    def _signature(self, function: FunctionFacts, overloads: Sequence[FunctionFacts]) -> Iterator[str]:
        parameters = function.parameters
        if not parameters:
            yield "Args: Record<PropertyKey, never>"
        else:
            yield f"Args: {{ {'; '.join(map(self._argument, parameters))} }}"
        target = self._rows_of(function)
        many = function.is_set and not (target is not None and function.rows <= 1)
        refused = self._refused(function, overloads)
        returned = self._returned(function) if refused is None else f"{{ error: true }} & {_text(refused)}"
        yield f"Returns: {returned}{'[]' if many else ''}"
        if target is None:
            return
        origin = (
            self._facts.types[parameters[0].type] if len(function.arguments) == 1 and parameters else None
        )
        if origin is not None and origin.kind != "composite":
            origin = None
        yield "SetofOptions: {"
        yield f"  from: {_text('*' if origin is None else origin.name)}"
        yield f"  to: {_text(target)}"
        yield f"  isOneToOne: {str(not (function.is_set and function.rows > 1)).lower()}"
        yield f"  isSetofReturn: {str(function.is_set).lower()}"
        yield "}"

    def _refused(self, function: FunctionFacts, overloads: Sequence[FunctionFacts]) -> str | None:
        """Return what a call is refused with, whatever its arguments; None where it can be made."""
        name = f"{self._facts.schema}.{function.name}"
        parameters = function.parameters
        if len(parameters) != 1:
            return None
        [one] = parameters
        if not one.name and self._relation(one.type) is not None and self._rows_of(function) is None:
            return (
                f"the function {name} with parameter or with a single unnamed json/jsonb parameter, "
                "but no matches were found in the schema cache"
            )
        rivals = [
            other
            for other in overloads
            if one.name and len(other.parameters) == 1 and other.parameters[0].name == one.name
        ]
        if len(rivals) < 2:  # noqa: PLR2004 itself and another
            return None
        listed = sorted(rivals, key=lambda other: other.parameters[0].type)
        signatures = ", ".join(
            f"{name}({one.name} => {self._facts.types[other.parameters[0].type].name})" for other in listed
        )
        return (
            f"Could not choose the best candidate function between: {signatures}. "
            "Try renaming the parameters or the function itself in the database "
            "so function overloading can be resolved"
        )

    def _argument(self, one: ArgumentFacts) -> str:
        return f"{_key(one.name)}{'?' if one.has_default else ''}: {self.type(one.type)}"

    def _returned(self, function: FunctionFacts) -> str:
        if columns := function.outputs:
            return f"{{ {'; '.join(f'{_key(one.name)}: {self.type(one.type)}' for one in columns)} }}"
        relation = self._relation(function.returns)
        if relation is not None:
            fields = (f"{_key(one.name)}: {self._value(one)}" for one in relation.columns if one.may_read)
            return f"{{ {'; '.join(fields)} }}"
        return self.type(function.returns)

    def _rows_of(self, function: FunctionFacts) -> str | None:
        """Return the name of the relation or composite type whose rows a function gives."""
        kind = self._facts.types[function.returns]
        return kind.name if kind.kind == "composite" and kind.schema in self._described else None

    def _relation(self, number: int) -> RelationFacts | None:
        return self._by_row_type.get(number)


def _may_be_given(column: Column, title: str) -> bool:
    return column.may_insert if title == "Insert" else column.may_update


def _rank(way: Relationship) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    return way.constraint, way.target[1], way.pairs


def _own(facts: Facts) -> Iterator[TypeFacts]:
    return (kind for kind in facts.types.values() if kind.schema == facts.schema)


def _enums(facts: Facts) -> Iterator[TypeFacts]:
    return (kind for kind in _own(facts) if kind.kind == "enum" and kind.labels)


def _literals(kind: TypeFacts) -> str:
    return " | ".join(map(_text, kind.labels or ())) or "never"


def _or_null(kind: str) -> str:
    return kind if kind in ("unknown", "any") else f"{kind} | null"


def _place(schema: str, section: str, name: str) -> str:
    return f"Database[{_text(schema)}]['{section}'][{_text(name)}]"


def _list(names: Iterable[str]) -> str:
    return f"[{', '.join(map(_text, names))}]"


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _key(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else _text(name)


_HELPERS: Final = (
    """
type DatabaseWithoutInternals = Omit<Database, "__InternalSupabase">

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, %DEFAULT%>]

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
    ? keyof (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
        DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
      DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])[TableName] extends {
      Row: infer R
    }
    ? R
    : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    ? (DefaultSchema["Tables"] & DefaultSchema["Views"])[DefaultSchemaTableNameOrOptions] extends {
        Row: infer R
      }
      ? R
      : never
    : never
"""
    + "".join(
        f"""
export type Tables{verb}<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | {{ schema: keyof DatabaseWithoutInternals }},
  TableName extends DefaultSchemaTableNameOrOptions extends {{ schema: keyof DatabaseWithoutInternals }}
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends {{ schema: keyof DatabaseWithoutInternals }}
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {{
      {verb}: infer T
    }}
    ? T
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {{
        {verb}: infer T
      }}
      ? T
      : never
    : never
"""
        for verb in ("Insert", "Update")
    )
    + "".join(
        f"""
export type {section}<
  {section}NameOrOptions extends
    | keyof DefaultSchema["{section}"]
    | {{ schema: keyof DatabaseWithoutInternals }},
  {section}Name extends {section}NameOrOptions extends {{ schema: keyof DatabaseWithoutInternals }}
    ? keyof DatabaseWithoutInternals[{section}NameOrOptions["schema"]]["{section}"]
    : never = never,
> = {section}NameOrOptions extends {{ schema: keyof DatabaseWithoutInternals }}
  ? DatabaseWithoutInternals[{section}NameOrOptions["schema"]]["{section}"][{section}Name]
  : {section}NameOrOptions extends keyof DefaultSchema["{section}"]
    ? DefaultSchema["{section}"][{section}NameOrOptions]
    : never
"""
        for section in ("Enums", "CompositeTypes")
    )
)
"""Names and parameters are those of Supabase's generator, since programs write them."""
