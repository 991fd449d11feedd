"""Tables and views → paths of the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modules.rest.description.comments import read_comment
from modules.rest.description.grammar import (
    columns_pattern,
    embeds_of,
    equal_pattern,
    is_filtered_by,
    logic_pattern,
    order_pattern,
    select_pattern,
    written,
)
from modules.rest.description.parts import (
    READ_ERRORS,
    WRITE_ERRORS,
    Object,
    Writer,
    body_of,
    errors_of,
    headers_of,
    parameters_of,
)
from modules.rest.description.schemas import SELECTED, insertable, row_examples, updatable
from modules.rest.description.wire import under

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.rest.description.facts import RelationFacts

OBJECT_MEDIA: Final = "application/vnd.pgrst.object+json"


class RelationPaths(Writer):
    """Writes the methods of relations."""

    def relation(self, relation: RelationFacts) -> Object:
        """Return the methods of a relation that the caller may try."""
        methods: Object = {}
        columns = [one for one in relation.columns if one.may_read]
        own = self._own_parameters(relation)
        if columns:
            methods["get"] = self._read(relation, own)
        key = self._key_of(relation)
        given = {one.name for one in insertable(relation)}
        has_key = bool(key) and given.issuperset(key) and all(map(is_filtered_by, key))
        if insertable(relation):
            methods["post"] = self._insert(relation, own)
        if updatable(relation):
            methods["patch"] = self._update(relation, own)
        if has_key and updatable(relation):
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
            name = self.schemas.name("logic", relation.name)
            self.filters[name] = {
                "type": "string",
                "pattern": logic_pattern(columns),
                "examples": [f"({written(columns[0].name)}.not.is.null)"],
            }
            schema = {"$ref": f"#/components/schemas/{name}"}
            for one in ("and", "or"):
                entry = {"name": one, "in": "query", "description": _LOGIC[one], "schema": schema}
                logic.append(self._parameter(f"{relation.name}.{one}", entry, "grammar", relation.name, one))
        return {"filters": filters, "shaping": shaping, "logic": logic}

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
                *parameters_of("limit", "offset", *self._cursors(relation)),
                *parameters_of("Range", "Range-Unit", "Prefer.read"),
                *parameters_of("If-None-Match", "If-Match"),
                *self._profiled("Accept-Profile"),
            ],
            responses={
                "200": rows,
                "206": rows,
                "304": {"$ref": "#/components/responses/304"},
                **errors_of(READ_ERRORS),
            },
        )

    def _cursors(self, relation: RelationFacts) -> Sequence[str]:
        """Name the parameters that say where a page begins, where a key tells rows apart."""
        known = self._catalog.find(self._facts.schema, relation.name)
        if known is None:
            return ()
        readable = {one.name for one in relation.columns if one.may_read}
        certain = {one.name for one in known.columns.values() if not one.is_nullable}
        keys = [known.primary_key] if known.primary_key else [key for key in known.uniques if certain >= key]
        if not any(readable.issuperset(key) for key in keys):
            return ()
        return ("Cursor",) if "cursor" in readable else ("cursor", "Cursor")  # else it is a condition

    def _insert(self, relation: RelationFacts, own: dict[str, list[Object]]) -> Object:
        one = self.schemas.reference("insert", relation.name)
        return self._operation(
            "insert",
            relation,
            f"Insert rows into {relation.name}",
            parameters=[
                *self._insert_parameters(relation),
                *own["shaping"][:1],
                *parameters_of("Prefer.insert", "Idempotency-Key"),
                *self._profiled("Content-Profile"),
            ],
            requestBody=body_of({"anyOf": [one, {"type": "array", "items": one}]}, self._example(relation)),
            responses={
                "200": {"$ref": "#/components/responses/created"},
                "201": {"$ref": "#/components/responses/created"},
                **errors_of(WRITE_ERRORS),
            },
        )

    def _insert_parameters(self, relation: RelationFacts) -> list[Object]:
        given = insertable(relation)
        demanded = [one for one in given if self.schemas.is_demanded(one, relation)]
        others = [one for one in given if not self.schemas.is_null_refused(one)]
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
                *parameters_of("Prefer.update", "Idempotency-Key", "If-Match", "If-None-Match"),
                *self._profiled("Content-Profile"),
            ],
            requestBody=body_of(self.schemas.reference("update", relation.name)),
            responses=self._changed(relation),
        )

    def _upsert(self, relation: RelationFacts) -> Object:
        """PUT: the key stands in the query string, as ``eq``, and in the body."""
        key = self._key_of(relation)
        row = {"allOf": [self.schemas.reference("insert", relation.name), {"required": list(key)}]}
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
                        "schema": {"type": "string", "pattern": self._equal(relation, name)},
                    }
                    for name in key
                ),
                *parameters_of("Prefer.update", "Idempotency-Key", "If-Match", "If-None-Match"),
                *self._profiled("Content-Profile"),
            ],
            requestBody=body_of(row),
            responses={
                "201": {"$ref": "#/components/responses/created"},
                **self._changed(relation),
            },
        )

    def _equal(self, relation: RelationFacts, name: str) -> str:
        column = next(one for one in relation.columns if one.name == name)
        return equal_pattern(under(self._facts.types, column.type))

    def _delete(self, relation: RelationFacts, own: dict[str, list[Object]]) -> Object:
        return self._operation(
            "delete",
            relation,
            f"Delete rows of {relation.name}",
            parameters=[
                *own["filters"],
                *own["logic"],
                *own["shaping"][:1],
                *parameters_of("Prefer.delete", "Idempotency-Key", "If-Match", "If-None-Match"),
                *self._profiled("Content-Profile"),
            ],
            responses=self._changed(relation),
        )

    def _changed(self, relation: RelationFacts) -> Object:
        return {
            "200": self._written_response(relation),
            "204": {"$ref": "#/components/responses/204"},
            **errors_of(WRITE_ERRORS),
        }

    def _rows(self, relation: RelationFacts) -> Object:
        return {"anyOf": [self.schemas.reference("row", relation.name), SELECTED]}

    def _rows_response(self, relation: RelationFacts) -> Object:
        one = self._rows(relation)
        answer = {
            "description": "The rows; 206 when there are more, as Content-Range says.",
            "headers": headers_of(
                "Content-Range", "Content-Location", "Link", "Cache-Status", "Preference-Applied", "ETag"
            ),
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
            "headers": headers_of("Location", "Content-Range", "Preference-Applied", "ETag"),
            "content": content,
        }
        return self._response("written", relation, answer)

    def _response(self, kind: str, relation: RelationFacts, answer: Object) -> Object:
        name = self._names.name(f"{relation.name}.{kind}", "response", kind, relation.name)
        self.responses[name] = answer
        return {"$ref": f"#/components/responses/{name}"}

    def _example(self, relation: RelationFacts) -> Any:
        return next(iter(row_examples(relation)), None)


_SELECT: Final = (
    "Columns and embedded relations: `id,customer(name)`. The pattern shows columns, aliases and one embed; "
    "embeds take a `select` of their own, `...` in front spreads them, `!hint` chooses a foreign key, "
    "`column::type` casts, `column->path` reads documents, `column.sum()` aggregates."
)
_COLUMNS: Final = (
    "Which keys of the rows are written; the others are ignored, and a row that lacks one has null there, or "
    "with Prefer: missing=default the default. Unset: all keys."
)
_ON_CONFLICT: Final = "Columns of the unique constraint that an upsert goes by. Unset: the primary key."
_ORDER: Final = "What to sort by: `column.desc.nullslast,other`; also `relation(column)` and `column->path`."
_LOGIC: Final = {
    "and": "Conditions that must all hold: `(a.eq.1,or(b.gt.2,c.is.null))`. They take all operators.",
    "or": "Conditions one of which must hold: `(a.eq.1,and(b.gt.2,c.is.null))`. They take all operators.",
}


def _select_examples(columns: Sequence[Any], embeds: Sequence[str]) -> list[str]:
    first = ",".join(written(one.name) for one in columns[:2])
    return [first, *(f"{first},{embed}(*)" for embed in embeds[:1])]
