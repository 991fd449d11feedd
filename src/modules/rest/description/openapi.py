"""`Facts` → OpenAPI 3.1: the data API as one caller sees it.

    components.schemas      rows, inserts and updates of each relation; types; one filter a type of column
    components.parameters   the filters of each relation, its ``select`` and ``order``; pages, preferences
    paths                   each relation, each function, ``/_batch`` and this document

A large schema makes a large document, so it is made in steps and encoded a part
at a time; see `modules.query.Steps`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec
from msgspec import Raw

from modules.rest.description.calls import CallPaths
from modules.rest.description.comments import read_comment
from modules.rest.description.fixed import BATCH, HEADERS, SCHEMAS, SECURITY
from modules.rest.description.parts import Object, Place, errors_of, headers_of, parameters_of
from modules.rest.description.relations import RelationPaths
from monohull import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from modules.query import Catalog, Steps
    from modules.rest.description.facts import Facts, FunctionFacts

MEDIA_TYPE: Final = "application/openapi+json; charset=utf-8"
_ENCODER: Final = msgspec.json.Encoder()


def write_openapi(facts: Facts, catalog: Catalog, place: Place) -> Steps[bytes]:
    """Return the document."""
    writer = _Document(facts, catalog, place)
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


class _Document(RelationPaths, CallPaths):
    """Writes the parts of a document."""

    def tags(self) -> list[Object]:
        tags: dict[str, Object] = {"Description": {"name": "Description", "description": "What there is."}}
        tags["Transactions"] = {"name": "Transactions", "description": "Requests that take effect together."}
        for relation in self._reachable:
            text = read_comment(relation.comment).text or f"Rows of {relation.name}."
            tags.setdefault(relation.name, {"name": relation.name, "description": text})
        for name in dict.fromkeys(one.name for one in self.functions()):
            tags.setdefault(f"(rpc) {name}", {"name": f"(rpc) {name}", "description": f"Calls of {name}."})
        return list(tags.values())

    def components(self) -> Iterator[tuple[str, Object]]:
        yield from SCHEMAS.items()
        yield from self.schemas.named.items()
        yield from self.filters.items()

    def add_rows(self) -> Steps[None]:
        for relation in self._reachable:
            yield from self.schemas.add(relation)

    def paths(self) -> Iterator[Object]:
        yield {"/openapi.json": _document("openapi", "This document", "application/openapi+json", _OPENAPI)}
        yield {"/postman.json": _document("postman", "Postman collection", "application/json", _POSTMAN)}
        yield {"/_batch": BATCH}
        for relation in self._reachable:
            methods = self.relation(relation)
            if methods:
                yield {f"/{quote(relation.name, safe='')}": methods}
        functions: dict[str, list[FunctionFacts]] = {}
        for function in self.functions():
            functions.setdefault(function.name, []).append(function)
        for name, overloads in functions.items():
            yield {f"/rpc/{quote(name, safe='')}": self.function(name, overloads)}


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
            "parameters": parameters_of("If-None-Match.document"),
            "responses": {
                "200": {
                    "description": "The document.",
                    "headers": headers_of("ETag"),
                    "content": {media_type: {"schema": {"type": "object"}}},
                },
                "304": {"$ref": "#/components/responses/304"},
                **errors_of(("400", "401", "404", "406", "default")),
            },
        }
    }
