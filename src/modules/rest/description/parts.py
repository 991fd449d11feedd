"""What the parts of an OpenAPI document share: what they refer to, and the small pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct

from modules.rest.description.fixed import PARAMETERS, RESPONSES
from modules.rest.description.grammar import filter_schema, group_of
from modules.rest.description.names import Names, component
from modules.rest.description.schemas import Schemas
from modules.rest.description.wire import under

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from modules.query import Catalog
    from modules.rest.description.facts import Facts, RelationFacts

Object: TypeAlias = dict[str, Any]

READ_ERRORS: Final = ("400", "401", "403", "404", "406", "412", "416", "default")
WRITE_ERRORS: Final = ("400", "401", "403", "404", "406", "409", "412", "422", "default")


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


class Writer:
    """Collects what the paths of a document refer to.

    Args:
        facts: What is described.
        catalog: Knows relationships and keys.
        place: Where it is.

    Attributes:
        parameters: Of the document, by the name of the component.
        responses: The same.
        schemas: The same, of rows and types.
        filters: The same, of conditions.
    """

    def __init__(self, facts: Facts, catalog: Catalog, place: Place) -> None:
        self._facts = facts
        self._catalog = catalog
        self.schemas = Schemas(facts)
        self._place = place
        self._names = Names(component)
        self._operations = Names(component)
        self.filters: Object = {}
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
        if name not in self.filters:
            self.filters[name] = filter_schema(kind)
        return {"$ref": f"#/components/schemas/{name}"}

    def _profiled(self, name: str) -> list[Object]:
        return parameters_of(name) if self._profile else []


def parameters_of(*names: str) -> list[Object]:
    """Refer to parameters."""
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def headers_of(*names: str) -> Object:
    """Refer to headers."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def errors_of(statuses: Iterable[str]) -> Object:
    """Refer to what refusals with these statuses look like."""
    return {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}


def body_of(schema: Object, example: Any = None) -> Object:
    """Return a body that has to be there."""
    content: Object = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {"required": True, "content": {"application/json": content}}


def distinct(schemas: Iterable[Object]) -> list[Object]:
    """Return ``schemas``, each once."""
    found: list[Object] = []
    for one in schemas:
        if one not in found:
            found.append(one)
    return found
