"""Functions → paths of the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.rest.description.comments import read_comment
from modules.rest.description.parts import (
    READ_ERRORS,
    WRITE_ERRORS,
    Object,
    Writer,
    body_of,
    distinct,
    errors_of,
    headers_of,
    parameters_of,
)
from modules.rest.description.schemas import nullable
from modules.rest.description.wire import under, wire_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modules.rest.description.facts import ArgumentFacts, FunctionFacts

_BODIES: Final = frozenset({"json", "jsonb", "text", "xml", "bytea"})
"""Types of the one unnamed parameter that takes the whole body."""


class CallPaths(Writer):
    """Writes the methods of functions."""

    def functions(self) -> Iterator[FunctionFacts]:
        for one in self._facts.functions:
            unnamed = [parameter for parameter in one.parameters if not parameter.name]
            takes_body = len(one.parameters) == 1 and all(
                self._facts.types[parameter.type].name in _BODIES for parameter in unnamed
            )
            if "/" not in one.name and (not unnamed or takes_body):
                yield one

    def function(self, name: str, overloads: Sequence[FunctionFacts]) -> Object:
        """Return how a function is called: one description for all functions of a name."""
        comment = read_comment(next((one.comment for one in overloads if one.comment), None))
        bodies = [self._arguments(one) for one in overloads]
        results = distinct([self.schemas.function(one) for one in overloads])
        content = {"application/json": {"schema": results[0] if len(results) == 1 else {"anyOf": results}}}
        answers: Object = {
            "200": {
                "description": "What the function gave.",
                "headers": headers_of("Content-Range", "Preference-Applied"),
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
                    *parameters_of("Prefer.read"),
                    *self._profiled("Accept-Profile"),
                ],
                "responses": {**answers, **errors_of(READ_ERRORS)},
            }
        example = next(iter(comment.values(dict)), None)
        methods["post"] = {
            "operationId": self._operations.name(f"call_{name}", "call", name),
            **about,
            "parameters": [
                *parameters_of("Prefer.call", "Idempotency-Key"),
                *self._profiled("Content-Profile"),
            ],
            "requestBody": {
                **body_of(bodies[0] if len(bodies) == 1 else {"anyOf": bodies}, example),
                "required": any(self._demands_body(one) for one in overloads),
            },
            "responses": {
                **answers,
                "202": {
                    "description": "With Prefer: respond-async: the call will be made; Location shows it."
                },
                **errors_of(WRITE_ERRORS),
            },
        }
        return methods

    def _demands_body(self, function: FunctionFacts) -> bool:
        return any(not one.has_default for one in function.parameters)

    def _arguments(self, function: FunctionFacts) -> Object:
        parameters = function.parameters
        if len(parameters) == 1 and not parameters[0].name:
            return self.schemas.value(parameters[0].type)
        required = [one.name for one in parameters if not one.has_default and one.mode != "v"]
        return {
            "type": "object",
            "properties": {one.name: self._argument(one) for one in parameters},
            **({"required": required} if required else {}),
            "additionalProperties": False,
        }

    def _argument(self, one: ArgumentFacts) -> Object:
        schema = self.schemas.value(one.type)
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
            return {"type": "array", "items": self.schemas.value(kind.element)}
        if under(self._facts.types, one.type).element is not None or kind.kind == "composite":
            return {"type": "string", "description": "As PostgreSQL writes it: {1,2} for an array."}
        if wire_of(under(self._facts.types, one.type)) == "json":
            return {"type": "string", "contentMediaType": "application/json"}
        return self.schemas.value(one.type)
