"""`Facts` → a Postman collection (v2.1): a folder for each relation, and one for functions.

Requests take the address and the credentials from variables of the collection,
so that it holds no secret: ``baseUrl``, ``apikey``, ``token``.

Source: the schema of collections, https://schema.getpostman.com/json/collection/v2.1.0/collection.json
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote
from uuid import UUID

import msgspec

from modules.rest.description.comments import read_comment
from modules.rest.description.grammar import is_filtered_by, written
from modules.rest.description.schemas import Schemas, insertable, row_examples, updatable
from modules.rest.description.wire import under, wire_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from modules.query import Catalog, Steps
    from modules.rest.description.facts import Column, Facts, FunctionFacts, RelationFacts
    from modules.rest.description.parts import Place

Object: TypeAlias = dict[str, Any]

MEDIA_TYPE: Final = "application/json; charset=utf-8"
SCHEMA: Final = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_VALUES: Final = {"boolean": True, "integer": 1, "number": 1.5, "json": {}, "string": "text"}
_WRITES_ROWS: Final = {"key": "Prefer", "value": "return=representation"}


def write_postman(facts: Facts, catalog: Catalog, place: Place) -> Steps[bytes]:
    """Return the collection."""
    writer = _Writer(facts, catalog)
    folders: list[Object] = []
    for relation in facts.relations:
        if "/" not in relation.name and (items := writer.relation(relation)):
            text = read_comment(relation.comment).text
            folders.append({"name": relation.name, "description": text, "item": items})
        yield
    calls = []
    for function in facts.functions:
        if "/" not in function.name and all(one.name for one in function.parameters):
            calls.append(writer.function(function))
        yield
    if calls:
        folders.append({"name": "rpc", "description": "Functions.", "item": calls})
    digest = hashlib.blake2b(f"{place.address} {facts.schema}".encode(), digest_size=16).digest()
    collection: Object = {
        "info": {
            "_postman_id": str(UUID(bytes=digest, version=4)),
            "name": read_comment(facts.comment).summary or "Data API",
            "description": "Set the variables apikey and token. What is switched off shows what there is.",
            "schema": SCHEMA,
        },
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
        "item": folders,
        "variable": [
            {"key": "baseUrl", "value": place.address, "type": "string"},
            {"key": "apikey", "value": "", "type": "string"},
            {"key": "token", "value": "", "type": "string"},
        ],
    }
    return msgspec.json.encode(collection)


class _Writer:
    """Writes requests."""

    def __init__(self, facts: Facts, catalog: Catalog) -> None:
        self._facts = facts
        self._catalog = catalog
        self._schemas = Schemas(facts)

    def relation(self, relation: RelationFacts) -> list[Object]:
        """Return the requests of a relation that the caller may try."""
        name = relation.name
        items: dict[str, Object] = {}
        path = [quote(name, safe="")]
        filters = [
            {
                "key": written(one.name),
                "value": f"eq.{_plain(self._sample(one))}",
                "disabled": True,
                "description": read_comment(one.comment).text,
            }
            for one in relation.columns
            if one.may_read and is_filtered_by(one.name)
        ]
        key = self._key(relation)
        one: list[Object] = [
            {"key": written(column.name), "value": f"eq.{_plain(self._sample(column))}"} for column in key
        ]
        if any(column.may_read for column in relation.columns):
            page: list[Object] = [
                {"key": "select", "value": "*"},
                {"key": "limit", "value": "20"},
                {"key": "offset", "value": "0", "disabled": True},
            ]
            items["get"] = _request(f"Read rows of {name}", "GET", path, [*page, *filters])
        if columns := insertable(relation):
            row = next(iter(row_examples(relation)), None) or self._row(columns, relation)
            items["post"] = _request(f"Insert rows into {name}", "POST", path, [], row, _WRITES_ROWS)
        if columns := updatable(relation):
            row = {column.name: self._sample(column) for column in columns if column not in key}
            items["patch"] = _request(
                f"Update rows of {name}", "PATCH", path, one or filters, row, _WRITES_ROWS
            )
        if relation.allows_delete and relation.may_delete:
            items["delete"] = _request(
                f"Delete rows of {name}", "DELETE", path, one or filters, None, _WRITES_ROWS
            )
        return [item for method, item in items.items() if method not in relation.hidden]

    def function(self, function: FunctionFacts) -> Object:
        """Return the call of a function."""
        comment = read_comment(function.comment)
        arguments = next(iter(comment.values(dict)), None)
        if arguments is None:
            arguments = {
                one.name: self._value(one.type) for one in function.parameters if not one.has_default
            }
        path = ["rpc", quote(function.name, safe="")]
        if function.is_volatile or not all(_is_short(value) for value in arguments.values()):
            return _request(f"Call {function.name}", "POST", path, [], arguments, about=comment.text)
        query = [{"key": name, "value": _plain(value)} for name, value in arguments.items()]
        return _request(f"Call {function.name}", "GET", path, query, about=comment.text)

    def _key(self, relation: RelationFacts) -> list[Column]:
        known = self._catalog.find(self._facts.schema, relation.name)
        names = () if known is None else known.primary_key
        return [column for column in relation.columns if column.name in names]

    def _row(self, columns: Sequence[Column], relation: RelationFacts) -> Object:
        demanded = [one for one in columns if self._schemas.is_demanded(one, relation)]
        return {one.name: self._sample(one) for one in demanded or columns}

    def _sample(self, column: Column) -> Any:
        """Return a value of a column: its example, or one of its type."""
        schema = self._schemas.column(column)
        examples = schema.get("examples") or [one for one in schema.get("enum", ()) if one is not None]
        return examples[0] if examples else self._value(column.type)

    def _value(self, number: int) -> Any:
        kind = under(self._facts.types, number)
        if kind.element is not None:
            return [self._value(kind.element)]
        if kind.kind == "enum":
            return (kind.labels or ("",))[0]
        if kind.kind == "composite":
            return {}
        return _TEXTS.get(kind.name) or _VALUES.get(wire_of(kind))


_TEXTS: Final = {
    "uuid": "00000000-0000-4000-8000-000000000001",
    "date": "2026-01-31",
    "timestamptz": "2026-01-31T12:00:00Z",
    "timestamp": "2026-01-31T12:00:00",
    "time": "12:00:00",
    "timetz": "12:00:00+00",
    "interval": "1 day",
    "inet": "192.0.2.1",
    "cidr": "192.0.2.0/24",
    "macaddr": "08:00:2b:01:02:03",
    "bytea": "\\x00",
    "money": "1.50",
}


def _request(  # noqa: PLR0913 a request has these parts
    name: str,
    method: str,
    path: Sequence[str],
    query: Iterable[Object],
    body: Any = None,
    *headers: Object,
    about: str = "",
) -> Object:
    pairs = list(query)
    shown = "&".join(f"{quote(one['key'])}={quote(one['value'])}" for one in pairs if not one.get("disabled"))
    raw = "{{baseUrl}}/" + "/".join(path) + (f"?{shown}" if shown else "")
    request: Object = {
        "method": method,
        "header": [{"key": "apikey", "value": "{{apikey}}"}, *headers],
        "url": {"raw": raw, "host": ["{{baseUrl}}"], "path": list(path), "query": pairs},
        "description": about,
    }
    if body is not None:
        text = msgspec.json.format(msgspec.json.encode(body)).decode()
        request["body"] = {"mode": "raw", "raw": text, "options": {"raw": {"language": "json"}}}
        request["header"].append({"key": "Content-Type", "value": "application/json"})
    return {"name": name, "request": request, "response": []}


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _is_short(value: Any) -> bool:
    return not isinstance(value, (dict, list))
