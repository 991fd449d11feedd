"""Describe bodies that controllers decode themselves: what does not decode is refused in GoTrue's words."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema

JSON: Final = "application/json"


def takes(*shapes: type[msgspec.Struct], required: bool = True) -> type[Operation]:
    """Return the ``operation_class`` of a route whose body is one of ``shapes``."""
    schemas = [_schema_of(shape) for shape in shapes]
    schema = schemas[0] if len(schemas) == 1 else Schema(any_of=schemas)
    body = RequestBody(content={JSON: OpenAPIMediaType(schema=schema)}, required=required)

    class Described(Operation):
        def __init__(self, **fields: Any) -> None:
            super().__init__(**{**fields, "request_body": body})

    return Described


def _schema_of(shape: type[msgspec.Struct]) -> Schema:
    (described,), definitions = msgspec.json.schema_components([shape], ref_template="{name}")
    return _converted(definitions[described["$ref"]])


def _converted(found: dict[str, Any]) -> Schema:
    """Convert JSON Schema, as far as flat structs need it."""
    properties = found.get("properties")
    return Schema(
        title=found.get("title"),
        description=found.get("description"),
        type=OpenAPIType(found["type"]) if "type" in found else None,
        properties={name: _converted(inner) for name, inner in properties.items()} if properties else None,
        any_of=[_converted(inner) for inner in found["anyOf"]] if "anyOf" in found else None,
    )
