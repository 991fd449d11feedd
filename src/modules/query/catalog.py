"""`Catalog`: what the database holds, as one frozen value.

PostgREST calls it the schema cache. It is read in one go (`introspect`), never
changed, and replaced as a whole (`live`), so a request that began with one
catalog ends with it.

Nothing in it refers back, so its parts are not tracked by the garbage collector
(``gc=False``): a large catalog would otherwise make every collection longer.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from modules.query.columns import Key, TableColumn
    from modules.query.routines import Routine
    from monohull.kernel.column_limits import ColumnRule

RelationKind: TypeAlias = Literal["table", "partitioned table", "view", "materialized view", "foreign table"]
Cardinality: TypeAlias = Literal["one-to-many", "many-to-one", "one-to-one", "many-to-many"]

SYSTEM_SCHEMAS: Final = ("pg_catalog", "information_schema")


class Relation(Struct, frozen=True, gc=False):
    """A table, view, materialized view or foreign table.

    Attributes:
        primary_key: Its columns, empty when there is none.
        uniques: Column sets of the primary key and of each unique constraint.
        has_row_security: ``ENABLE ROW LEVEL SECURITY`` was said.
        is_security_invoker: A view that reads its tables as its caller.
        bases: What a view or materialized view reads; empty for the others.
        allows_insert, allows_update, allows_delete: By structure, not by privilege.
        returns_inserted: RETURNING of an INSERT gives every row: no rule or trigger can leave one out.
        identities: Those of ``uniques`` that no two of its rows have in common at any time; none of a view,
            and none of a table with children, whose rows are its own too.
        rule: What the caller may read and write of it; None in a catalog that nobody is limited by.
        stored: With a rule, all columns, also those that may not be read.
    """

    schema: str
    name: str
    kind: RelationKind
    columns: Mapping[str, TableColumn]
    primary_key: tuple[str, ...] = ()
    uniques: frozenset[frozenset[str]] = frozenset()
    comment: str | None = None
    has_row_security: bool = False
    is_security_invoker: bool = False
    is_partition: bool = False
    bases: tuple[Key, ...] = ()
    allows_insert: bool = False
    allows_update: bool = False
    allows_delete: bool = False
    returns_inserted: bool = False
    identities: frozenset[frozenset[str]] = frozenset()
    rule: ColumnRule | None = None
    stored: Mapping[str, TableColumn] = {}

    @property
    def key(self) -> Key:
        return (self.schema, self.name)

    @property
    def is_view(self) -> bool:
        return self.kind in ("view", "materialized view")


class ForeignKey(Struct, frozen=True, gc=False):
    """A foreign key constraint; ``pairs`` are referring and referred column."""

    name: str
    source: Key
    target: Key
    pairs: tuple[tuple[str, str], ...]


class Junction(Struct, frozen=True, gc=False):
    """The table in the middle of a many-to-many relationship.

    Attributes:
        key: The table.
        origin_constraint, target_constraint: Its two foreign keys.
        origin_pairs: Column of the origin, column of the junction.
        target_pairs: Column of the junction, column of the target.
    """

    key: Key
    origin_constraint: str
    target_constraint: str
    origin_pairs: tuple[tuple[str, str], ...]
    target_pairs: tuple[tuple[str, str], ...]


class Relationship(Struct, frozen=True, gc=False):
    """A way from one relation to another.

    Attributes:
        cardinality: Seen from the origin.
        constraint: The foreign key, or empty when there is none between the two.
        pairs: Column of the origin, column of the target; empty with a junction.
        is_referring: The origin's columns refer to the target (and not the other way round).
        function: Computes the target's rows from one of the origin's, where no foreign key does.
    """

    origin: Key
    target: Key
    cardinality: Cardinality
    constraint: str = ""
    pairs: tuple[tuple[str, str], ...] = ()
    is_referring: bool = False
    junction: Junction | None = None
    is_target_view: bool = False
    function: Key | None = None

    @property
    def is_to_one(self) -> bool:
        return self.cardinality in ("many-to-one", "one-to-one")

    @property
    def is_to_self(self) -> bool:
        return self.origin == self.target


class MediaHandler(Struct, frozen=True, gc=False):
    """A function or aggregate of the project that makes a media type of its own.

    Attributes:
        function: The aggregate; for a function that returns the media type, the type.
        media_type: In small letters; ``*/*`` stands for whatever the client accepts.
        target: The relation whose rows the aggregate takes, or the function; None for any relation.
        is_aggregate: It is made of rows. Otherwise a function gives it as it is.
        is_binary: It is bytes, and not text.
    """

    function: Key
    media_type: str
    target: Key | None
    is_aggregate: bool
    is_binary: bool


class Handlers(Struct, frozen=True):
    """The custom media types that can be made of one relation or function.

    Attributes:
        own: Those made of it; ``*/*`` is made whatever the client accepts.
        general: Those made of any rows.
    """

    own: Mapping[str, MediaHandler]
    general: Mapping[str, MediaHandler]

    def find(self, media_type: str) -> MediaHandler | None:
        """Return what makes ``media_type``."""
        return self.own.get("*/*") or self.own.get(media_type) or self.general.get(media_type)


class Representation(Struct, frozen=True, gc=False):
    """Functions that turn a domain into JSON, and make it from JSON or text; None where it does not say."""

    to_json: Key | None = None
    from_json: Key | None = None
    from_text: Key | None = None


class Catalog(Struct, frozen=True, dict=True, weakref=True):
    """Everything the compiler knows of a database.

    Attributes:
        relations: By schema and name, system schemas left out.
        relationships: By the relation they start from.
        bypassing_roles: Roles that row security does not apply to.
        routines: Functions that can be called, by schema and name.
        handlers: Custom media types by the relation or function they are made of; None: any relation.
        representations: By domain, as a column's type is written.
    """

    relations: Mapping[Key, Relation]
    relationships: Mapping[Key, tuple[Relationship, ...]]
    bypassing_roles: frozenset[str] = frozenset()
    routines: Mapping[Key, tuple[Routine, ...]] = {}
    handlers: Mapping[Key | None, Mapping[str, MediaHandler]] = {}
    representations: Mapping[str, Representation] = {}

    def find(self, schema: str, name: str) -> Relation | None:
        return self.relations.get((schema, name))

    def related(self, key: Key) -> tuple[Relationship, ...]:
        return self.relationships.get(key, ())

    def in_schema(self, schema: str) -> Iterator[Relation]:
        return iter(self._by_schema.get(schema, ()))

    @cached_property
    def _by_schema(self) -> Mapping[str, tuple[Relation, ...]]:
        found: dict[str, list[Relation]] = {}
        for relation in self.relations.values():
            found.setdefault(relation.schema, []).append(relation)
        return {schema: tuple(relations) for schema, relations in found.items()}
