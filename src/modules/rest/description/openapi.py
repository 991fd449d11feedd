"""`Facts` → OpenAPI 3.1: the data API as one caller sees it.

    components.schemas      rows, inserts and updates of each relation; types; one filter a type of column
    components.parameters   the filters of each relation, its ``select`` and ``order``; pages, preferences
    paths                   each relation, each function, ``/_batch`` and this document

A large schema makes a large document, so it is made in steps and encoded a part
at a time; see `modules.query.Steps`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from modules.rest.description.comments import read_comment
from modules.rest.description.fixed import BATCH, HEADERS, PARAMETERS, RESPONSES, SCHEMAS, SECURITY
from modules.rest.description.grammar import (
    columns_pattern,
    embeds_of,
    filter_schema,
    group_of,
    is_filtered_by,
    logic_pattern,
    order_pattern,
    select_pattern,
    written,
)
from modules.rest.description.names import Names, component
from modules.rest.description.schemas import SELECTED, Schemas, insertable, nullable, row_examples, updatable
from modules.rest.description.wire import under, wire_of
from monohull import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from modules.query import Catalog, Steps
    from modules.rest.description.facts import ArgumentFacts, Facts, FunctionFacts, RelationFacts

Object: TypeAlias = dict[str, Any]

MEDIA_TYPE: Final = "application/openapi+json; charset=utf-8"
OBJECT_MEDIA: Final = "application/vnd.pgrst.object+json"
_ENCODER: Final = msgspec.json.Encoder()
_BODIES: Final = frozenset({"json", "jsonb", "text", "xml", "bytea"})
_READ_ERRORS: Final = ("400", "401", "403", "404", "406", "412", "416", "default")
_WRITE_ERRORS: Final = ("400", "401", "403", "404", "406", "409", "412", "422", "default")


class Place(Struct, frozen=True):
    """Where the API is, and how it is entered.

    Attributes:
        address: Where clients reach ``/rest/v1``.
        demands_key: A request without a credential is refused.
        profiles: Exposed schemas; more than one means that a header chooses.
    """

    address: str
    demands_key: bool = False
    profiles: tuple[str, ...] = ()


def write_openapi(facts: Facts, catalog: Catalog, place: Place) -> Steps[bytes]:
    """Return the document."""
    writer = _Writer(facts, catalog, place)
    about = read_comment(None if facts.comment == _SAYS_NOTHING else facts.comment)
    paths = yield from _encoded(writer.paths())
    yield from writer.add_rows()
    schemas = yield from _encoded({name: schema} for name, schema in writer.components())
    parameters = yield from _encoded({name: one} for name, one in writer.parameters.items())
    responses = yield from _encoded({name: one} for name, one in writer.responses.items())
    title = about.summary or "Data API"
    document: Object = {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": __version__,
            "summary": f"Tables, views and functions of the schema {facts.schema}.",
            "description": about.text or _ABOUT,
            "contact": {"name": title, "url": place.address},
            "license": {"name": "As its operator says", "url": place.address},
        },
        "servers": [{"url": place.address}],
        "security": [*([] if place.demands_key else [{}]), *({name: []} for name in SECURITY)],
        "tags": writer.tags(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": parameters,
            "responses": responses,
            "headers": HEADERS,
            "securitySchemes": SECURITY,
        },
    }
    return _ENCODER.encode(document)


_SAYS_NOTHING: Final = "standard public schema"
"""What every database says of ``public`` until somebody says something else."""
_ABOUT: Final = (
    "Each table and view is a path; its rows are read, inserted, updated and deleted there. Functions are "
    "below `/rpc`. The grammar of the query string is PostgREST's."
)


def _encoded(parts: Iterable[Object]) -> Steps[Raw]:
    """Encode an object that is given in parts."""
    found: list[bytes] = []
    for part in parts:
        if part:
            found.append(_ENCODER.encode(part)[1:-1])
        yield
    return Raw(b"{" + b",".join(found) + b"}")


class _Writer:
    """Writes the parts of a document."""

    def __init__(self, facts: Facts, catalog: Catalog, place: Place) -> None:
        self._facts = facts
        self._catalog = catalog
        self._schemas = Schemas(facts)
        self._place = place
        self._names = Names(component)
        self._operations = Names(component)
        self._filters: Object = {}
        self._filter_names = Names(component)
        self._visible = frozenset(one.name for one in facts.relations if any(c.may_read for c in one.columns))
        self._reachable = [one for one in facts.relations if "/" not in one.name]
        is_profiled = len(place.profiles) > 1
        self._profile = [("Accept-Profile", "Content-Profile")] if is_profiled else []
        self.parameters: Object = dict(PARAMETERS)
        self.responses: Object = dict(RESPONSES)
        if is_profiled:
            for name in ("Accept-Profile", "Content-Profile"):
                self.parameters[name] = {
                    "name": name,
                    "in": "header",
                    "description": "The schema that is meant.",
                    "schema": {"type": "string", "enum": list(place.profiles), "default": facts.schema},
                }

    def tags(self) -> list[Object]:
        tags: dict[str, Object] = {"Description": {"name": "Description", "description": "What there is."}}
        tags["Transactions"] = {"name": "Transactions", "description": "Requests that take effect together."}
        for relation in self._reachable:
            text = read_comment(relation.comment).text or f"Rows of {relation.name}."
            tags.setdefault(relation.name, {"name": relation.name, "description": text})
        for name in dict.fromkeys(one.name for one in self._functions()):
            tags.setdefault(f"(rpc) {name}", {"name": f"(rpc) {name}", "description": f"Calls of {name}."})
        return list(tags.values())

    def components(self) -> Iterator[tuple[str, Object]]:
        yield from SCHEMAS.items()
        yield from self._schemas.named.items()
        yield from self._filters.items()

    def add_rows(self) -> Steps[None]:
        for relation in self._reachable:
            yield from self._schemas.add(relation)

    def paths(self) -> Iterator[Object]:
        yield {"/openapi.json": _document("openapi", "This document", "application/openapi+json", _OPENAPI)}
        yield {"/postman.json": _document("postman", "Postman collection", "application/json", _POSTMAN)}
        yield {"/_batch": BATCH}
        for relation in self._reachable:
            methods = self._relation(relation)
            if methods:
                yield {f"/{quote(relation.name, safe='')}": methods}
        functions: dict[str, list[FunctionFacts]] = {}
        for function in self._functions():
            functions.setdefault(function.name, []).append(function)
        for name, overloads in functions.items():
            yield {f"/rpc/{quote(name, safe='')}": self._function(name, overloads)}

    def _functions(self) -> Iterator[FunctionFacts]:
        for one in self._facts.functions:
            unnamed = [parameter for parameter in one.parameters if not parameter.name]
            takes_body = len(one.parameters) == 1 and all(
                self._facts.types[parameter.type].name in _BODIES for parameter in unnamed
            )
            if "/" not in one.name and (not unnamed or takes_body):
                yield one

    def _relation(self, relation: RelationFacts) -> Object:
        """Return the methods of a relation that the caller may try."""
        methods: Object = {}
        columns = [one for one in relation.columns if one.may_read]
        own = self._own_parameters(relation)
        if columns:
            methods["get"] = self._read(relation, own)
        has_key = bool(self._key_of(relation))
        if insertable(relation):
            methods["post"] = self._insert(relation, own)
        if updatable(relation):
            methods["patch"] = self._update(relation, own)
        if insertable(relation) and updatable(relation) and has_key and own["filters"]:
            methods["put"] = self._upsert(relation)
        if relation.allows_delete and relation.may_delete:
            methods["delete"] = self._delete(relation, own)
        return {name: method for name, method in methods.items() if name not in relation.hidden}

    def _own_parameters(self, relation: RelationFacts) -> dict[str, list[Object]]:
        """Add the parameters of a relation; return references to them."""
        columns = [one for one in relation.columns if one.may_read]
        types = self._facts.types
        filters = []
        for column in columns:
            if is_filtered_by(column.name):
                text = read_comment(column.comment).summary
                filters.append(
                    self._parameter(
                        f"{relation.name}.{column.name}",
                        {
                            "name": written(column.name),
                            "in": "query",
                            "description": f"{text or f'Condition on {column.name}.'}",
                            "schema": self._filter(column.type),
                        },
                        relation.name,
                        column.name,
                    )
                )
        shaping = []
        embeds = embeds_of(relation, self._facts.schema, self._catalog, self._visible)
        if columns:
            text = select_pattern(columns, embeds, types)
            shaping.append(
                self._pattern(relation, "select", _SELECT, text, _select_examples(columns, embeds))
            )
            if (text_ := order_pattern(columns, types)) is not None:
                shaping.append(
                    self._pattern(relation, "order", _ORDER, text_, [f"{written(columns[0].name)}.desc"])
                )
        logic = []
        if columns:
            name = self._schemas.name("logic", relation.name)
            self._filters[name] = {
                "type": "string",
                "pattern": logic_pattern(columns),
                "examples": [f"({written(columns[0].name)}.not.is.null)"],
            }
            schema = {"$ref": f"#/components/schemas/{name}"}
            for one in ("and", "or"):
                entry = {"name": one, "in": "query", "description": _LOGIC[one], "schema": schema}
                logic.append(self._parameter(f"{relation.name}.{one}", entry, "grammar", relation.name, one))
        return {"filters": filters, "shaping": shaping, "logic": logic}

    def _pattern(
        self, relation: RelationFacts, name: str, text: str, pattern: str, examples: Sequence[str]
    ) -> Object:
        one = {
            "name": name,
            "in": "query",
            "description": text,
            "schema": {"type": "string", "pattern": pattern, "examples": list(examples)},
        }
        return self._parameter(f"{relation.name}.{name}", one, "grammar", relation.name, name)

    def _parameter(self, wanted: str, one: Object, *of: str) -> Object:
        name = self._names.name(wanted, *of)
        self.parameters[name] = one
        return {"$ref": f"#/components/parameters/{name}"}

    def _filter(self, number: int) -> Object:
        kind = under(self._facts.types, number)
        group = group_of(kind)
        key: tuple[object, ...] = ("enum", kind.oid) if group == "enum" else (group,)
        name = self._filter_names.name(f"filter.{kind.name if group == 'enum' else group}", *key)
        if name not in self._filters:
            self._filters[name] = filter_schema(kind)
        return {"$ref": f"#/components/schemas/{name}"}

    def _key_of(self, relation: RelationFacts) -> tuple[str, ...]:
        known = self._catalog.find(self._facts.schema, relation.name)
        return () if known is None else known.primary_key

    def _operation(self, verb: str, relation: RelationFacts, summary: str, **parts: Any) -> Object:
        comment = read_comment(relation.comment)
        return {
            "operationId": self._operations.name(f"{verb}_{relation.name}", verb, relation.name),
            "tags": [relation.name],
            "summary": summary,
            "description": comment.text or summary,
            **parts,
        }

    def _read(self, relation: RelationFacts, own: dict[str, list[Object]]) -> Object:
        rows = self._rows_response(relation)
        return self._operation(
            "read",
            relation,
            f"Read rows of {relation.name}",
            parameters=[
                *own["filters"],
                *own["logic"],
                *own["shaping"],
                *_parameters("limit", "offset", "Range", "Range-Unit", "Prefer.read"),
                *_parameters("If-None-Match", "If-Match"),
                *self._profiled("Accept-Profile"),
            ],
            responses={
                "200": rows,
                "206": rows,
                "304": {"$ref": "#/components/responses/304"},
                **_errors(_READ_ERRORS),
            },
        )

    def _insert(self, relation: RelationFacts, own: dict[str, list[Object]]) -> Object:
        one = self._schemas.reference("insert", relation.name)
        written_rows = self._written_response(relation)
        return self._operation(
            "insert",
            relation,
            f"Insert rows into {relation.name}",
            parameters=[
                *self._insert_parameters(relation),
                *own["shaping"][:1],
                *_parameters("Prefer.insert", "Idempotency-Key"),
                *self._profiled("Content-Profile"),
            ],
            requestBody=_body({"anyOf": [one, {"type": "array", "items": one}]}, self._example(relation)),
            responses={
                "200": written_rows,
                "201": written_rows,
                **_errors(_WRITE_ERRORS),
            },
        )

    def _insert_parameters(self, relation: RelationFacts) -> list[Object]:
        given = insertable(relation)
        demanded = [one for one in given if self._schemas.is_demanded(one, relation)]
        others = [one for one in given if not self._schemas.is_null_refused(one)]
        pattern = columns_pattern(demanded, others)
        others = [one for one in others if one not in demanded]
        example = ",".join(written(one.name) for one in (*demanded, *others[:1]))
        found = [self._pattern(relation, "columns", _COLUMNS, pattern, [example])] if example else []
        known = self._catalog.find(self._facts.schema, relation.name)
        if known is not None and known.uniques:
            places = {name: place for place, name in enumerate(known.columns)}
            keys = sorted(
                ",".join(map(written, sorted(key, key=lambda one: places.get(one, 0))))
                for key in known.uniques
            )
            entry = {
                "name": "on_conflict",
                "in": "query",
                "description": _ON_CONFLICT,
                "schema": {"type": "string", "enum": keys},
            }
            found.append(
                self._parameter(
                    f"{relation.name}.on_conflict", entry, "grammar", relation.name, "on_conflict"
                )
            )
        return found

    def _update(self, relation: RelationFacts, own: dict[str, list[Object]]) -> Object:
        return self._operation(
            "update",
            relation,
            f"Update rows of {relation.name}",
            parameters=[
                *own["filters"],
                *own["logic"],
                *own["shaping"][:1],
                *_parameters("Prefer.update", "Idempotency-Key", "If-Match", "If-None-Match"),
                *self._profiled("Content-Profile"),
            ],
            requestBody=_body(self._schemas.reference("update", relation.name)),
            responses=self._changed(relation),
        )

    def _upsert(self, relation: RelationFacts) -> Object:
        """PUT: the key stands in the query string, as ``eq``, and in the body."""
        return self._operation(
            "upsert",
            relation,
            f"Insert or replace one row of {relation.name}",
            parameters=[
                *(
                    {
                        "name": written(name),
                        "in": "query",
                        "required": True,
                        "description": f"The key: {name}, as in the body.",
                        "schema": {"type": "string", "pattern": "^eq\\."},
                    }
                    for name in self._key_of(relation)
                ),
                *_parameters("Prefer.update", "Idempotency-Key", "If-Match", "If-None-Match"),
                *self._profiled("Content-Profile"),
            ],
            requestBody=_body(self._schemas.reference("insert", relation.name)),
            responses={
                "201": self._written_response(relation),
                **self._changed(relation),
            },
        )

    def _delete(self, relation: RelationFacts, own: dict[str, list[Object]]) -> Object:
        return self._operation(
            "delete",
            relation,
            f"Delete rows of {relation.name}",
            parameters=[
                *own["filters"],
                *own["logic"],
                *own["shaping"][:1],
                *_parameters("Prefer.delete", "Idempotency-Key", "If-Match", "If-None-Match"),
                *self._profiled("Content-Profile"),
            ],
            responses=self._changed(relation),
        )

    def _changed(self, relation: RelationFacts) -> Object:
        return {
            "200": self._written_response(relation),
            "204": {"$ref": "#/components/responses/204"},
            **_errors(_WRITE_ERRORS),
        }

    def _rows(self, relation: RelationFacts) -> Object:
        return {"anyOf": [self._schemas.reference("row", relation.name), SELECTED]}

    def _rows_response(self, relation: RelationFacts) -> Object:
        one = self._rows(relation)
        answer = {
            "description": "The rows; 206 when there are more, as Content-Range says.",
            "headers": _headers("Content-Range", "Content-Location", "Preference-Applied", "ETag"),
            "content": {
                "application/json": {"schema": {"type": "array", "items": one}},
                OBJECT_MEDIA: {"schema": one},
                "text/csv": {"schema": {"type": "string"}},
            },
        }
        return self._response("rows", relation, answer)

    def _written_response(self, relation: RelationFacts) -> Object:
        content: Object = {"application/json": {"schema": {}}}
        if any(column.may_read for column in relation.columns):
            one = self._rows(relation)
            rows = {"type": "array", "items": one}
            content = {"application/json": {"schema": rows}, OBJECT_MEDIA: {"schema": one}}
        answer = {
            "description": "Done; with return=representation the rows are in the body.",
            "headers": _headers("Location", "Content-Range", "Preference-Applied", "ETag"),
            "content": content,
        }
        return self._response("written", relation, answer)

    def _response(self, kind: str, relation: RelationFacts, answer: Object) -> Object:
        name = self._names.name(f"{relation.name}.{kind}", "response", kind, relation.name)
        self.responses[name] = answer
        return {"$ref": f"#/components/responses/{name}"}

    def _example(self, relation: RelationFacts) -> Any:
        return next(iter(row_examples(relation)), None)

    def _profiled(self, name: str) -> list[Object]:
        return _parameters(name) if self._profile else []

    def _function(self, name: str, overloads: Sequence[FunctionFacts]) -> Object:
        """Return how a function is called: one description for all functions of a name."""
        comment = read_comment(next((one.comment for one in overloads if one.comment), None))
        bodies = [self._arguments(one) for one in overloads]
        results = _distinct([self._schemas.function(one) for one in overloads])
        content = {"application/json": {"schema": results[0] if len(results) == 1 else {"anyOf": results}}}
        answers: Object = {
            "200": {
                "description": "What the function gave.",
                "headers": _headers("Content-Range", "Preference-Applied"),
                "content": content,
            }
        }
        types = self._facts.types
        if any(wire_of(types[one.returns]) == "void" for one in overloads):
            answers["204"] = {"description": "The function gives nothing."}
        answers["206"] = {"description": "Some of the rows.", "content": content}
        about = {
            "tags": [f"(rpc) {name}"],
            "summary": comment.summary or f"Call {name}",
            "description": comment.text or f"Call the function {name}.",
        }
        methods: Object = {}
        stable = [one for one in overloads if not one.is_volatile and all(p.name for p in one.parameters)]
        if stable:
            methods["get"] = {
                "operationId": self._operations.name(f"query_{name}", "query", name),
                **about,
                "parameters": [
                    *self._query_arguments(stable),
                    *_parameters("Prefer.read"),
                    *self._profiled("Accept-Profile"),
                ],
                "responses": {**answers, **_errors(_READ_ERRORS)},
            }
        example = next(iter(comment.values(dict)), None)
        methods["post"] = {
            "operationId": self._operations.name(f"call_{name}", "call", name),
            **about,
            "parameters": [
                *_parameters("Prefer.call", "Idempotency-Key"),
                *self._profiled("Content-Profile"),
            ],
            "requestBody": {
                **_body(bodies[0] if len(bodies) == 1 else {"anyOf": bodies}, example),
                "required": any(self._demands_body(one) for one in overloads),
            },
            "responses": {
                **answers,
                "202": {
                    "description": "With Prefer: respond-async: the call will be made; Location shows it."
                },
                **_errors(_WRITE_ERRORS),
            },
        }
        return methods

    def _demands_body(self, function: FunctionFacts) -> bool:
        return any(not one.has_default for one in function.parameters)

    def _arguments(self, function: FunctionFacts) -> Object:
        parameters = function.parameters
        if len(parameters) == 1 and not parameters[0].name:
            return self._schemas.value(parameters[0].type)
        required = [one.name for one in parameters if not one.has_default and one.mode != "v"]
        return {
            "type": "object",
            "properties": {one.name: self._argument(one) for one in parameters},
            **({"required": required} if required else {}),
            "additionalProperties": False,
        }

    def _argument(self, one: ArgumentFacts) -> Object:
        schema = self._schemas.value(one.type)
        return schema if one.mode == "v" else nullable(schema)

    def _query_arguments(self, overloads: Sequence[FunctionFacts]) -> list[Object]:
        """Return the parameters of a call by GET; what not all functions of the name demand is optional."""
        found: dict[str, Object] = {}
        for function in overloads:
            for one in function.parameters:
                is_required = all(
                    any(p.name == one.name and not p.has_default for p in other.parameters)
                    for other in overloads
                )
                found.setdefault(
                    one.name,
                    {
                        "name": one.name,
                        "in": "query",
                        "required": is_required and one.mode != "v",
                        "description": f"The argument {one.name}.",
                        "schema": self._query_value(one),
                    },
                )
        return list(found.values())

    def _query_value(self, one: ArgumentFacts) -> Object:
        kind = self._facts.types[one.type]
        if one.mode == "v" and kind.element is not None:
            return {"type": "array", "items": self._schemas.value(kind.element)}
        if under(self._facts.types, one.type).element is not None or kind.kind == "composite":
            return {"type": "string", "description": "As PostgreSQL writes it: {1,2} for an array."}
        if wire_of(under(self._facts.types, one.type)) == "json":
            return {"type": "string", "contentMediaType": "application/json"}
        return self._schemas.value(one.type)


_SELECT: Final = (
    "Columns and embedded relations: `id,customer(name)`. The pattern shows columns, aliases and whole embeds; "
    "embeds take a `select` of their own, `...` in front spreads them, `!hint` chooses a foreign key, "
    "`column::type` casts, `column->path` reads documents, `column.sum()` aggregates."
)
_COLUMNS: Final = (
    "Which keys of the rows are written; the others are ignored, and a row that lacks one has null there, or with "
    "Prefer: missing=default the default. Unset: all keys."
)
_ON_CONFLICT: Final = "Columns of the unique constraint that an upsert goes by. Unset: the primary key."
_ORDER: Final = (
    "What to sort by: `column.desc.nullslast,other`. Also by `relation(column)` and `column->path`."
)
_LOGIC: Final = {
    "and": "Conditions that must all hold: `(a.eq.1,or(b.gt.2,c.is.null))`. They nest, and take all operators.",
    "or": "Conditions one of which must hold: `(a.eq.1,and(b.gt.2,c.is.null))`. They nest, and take all operators.",
}


def _select_examples(columns: Sequence[Any], embeds: Sequence[str]) -> list[str]:
    first = ",".join(written(one.name) for one in columns[:2])
    return [first, *(f"{first},{embed}(*)" for embed in embeds[:1])]


def _parameters(*names: str) -> list[Object]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _headers(*names: str) -> Object:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _errors(statuses: Iterable[str]) -> Object:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _body(schema: Object, example: Any = None) -> Object:
    content: Object = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {"required": True, "content": {"application/json": content}}


def _distinct(schemas: Iterable[Object]) -> list[Object]:
    found: list[Object] = []
    for one in schemas:
        if one not in found:
            found.append(one)
    return found


_OPENAPI: Final = "What the caller may see of the data API, in OpenAPI 3.1."
_POSTMAN: Final = (
    "Requests to what the caller may see, as a collection that Postman, Insomnia and Bruno import."
)


def _document(name: str, summary: str, media_type: str, text: str) -> Object:
    return {
        "get": {
            "operationId": name,
            "tags": ["Description"],
            "summary": summary,
            "description": text,
            "parameters": _parameters("If-None-Match.document"),
            "responses": {
                "200": {
                    "description": "The document.",
                    "headers": _headers("ETag"),
                    "content": {media_type: {"schema": {"type": "object"}}},
                },
                "304": {"$ref": "#/components/responses/304"},
                **_errors(("400", "401", "404", "406", "default")),
            },
        }
    }
