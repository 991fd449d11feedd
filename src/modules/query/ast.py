"""What any front end may ask of a relation, without the values.

The tree is the *shape* of a request: two requests that differ in values alone
have equal trees, so a compiled statement is found by the tree itself (every
node is frozen and hashes). Values travel beside it as a list of texts; a node
names its value by the index in that list, called slot.

Nothing here knows of HTTP, and nothing here asks whether ``orders`` exists:
`modules.query.plan` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

from modules.query.catalog import MediaHandler

if TYPE_CHECKING:
    from modules.query.columns import Key
    from modules.query.routines import Content

MAX_EMBED_DEPTH: Final = 16
"""Embeds inside embeds. Deeper is refused: each level is one lateral join."""

Quantifier: TypeAlias = Literal["any", "all"]
Join: TypeAlias = Literal["inner", "left"]
Direction: TypeAlias = Literal["asc", "desc"]
Nulls: TypeAlias = Literal["first", "last"]
Count: TypeAlias = Literal["exact", "planned", "estimated"]
Shape: TypeAlias = Literal["array", "object", "csv", "geojson", "none"] | MediaHandler
"""How the rows come back; ``none`` counts them and builds no document, a handler makes what it likes."""
Connective: TypeAlias = Literal["and", "or"]
Action: TypeAlias = Literal["insert", "update", "delete"]
Returning: TypeAlias = Literal["minimal", "keys", "representation"]
"""What comes back of written rows: nothing, the primary key of the one row there is, or the rows."""
IsValue: TypeAlias = Literal["null", "not_null", "true", "false", "unknown"]

Operator: TypeAlias = Literal[
    "eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike", "match", "imatch", "in", "isdistinct",
    "fts", "plfts", "phfts", "wfts", "cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj",
]  # fmt: skip


class Step(Struct, frozen=True):
    """One arrow of a JSON path: ``->key`` stays JSON, ``->>key`` gives text."""

    key: str | int
    as_text: bool


class Field(Struct, frozen=True):
    """A column, or a place inside one."""

    name: str
    path: tuple[Step, ...] = ()


class AllColumns(Struct, frozen=True, tag=True):
    """``*``, every column."""


class Column(Struct, frozen=True, tag=True):
    """One output value.

    Attributes:
        field: Where it comes from; None only for ``count()`` of rows.
        alias: Its name in the answer, or None for its own.
        cast: Type the value is cast to before it is aggregated or put out.
        aggregate: ``sum``, ``avg``, ``min``, ``max`` or ``count``.
        aggregate_cast: Type the aggregate is cast to.
    """

    field: Field | None
    alias: str | None = None
    cast: str | None = None
    aggregate: str | None = None
    aggregate_cast: str | None = None


class Embed(Struct, frozen=True, tag=True):
    """Rows of a related relation, nested as JSON, or spread into the parent row."""

    relation: str
    selection: Selection
    alias: str | None = None
    hint: str | None = None
    join: Join | None = None
    spread: bool = False

    @property
    def name(self) -> str:
        """The key it has in the answer and the name that filters on it use."""
        return self.alias or self.relation


Item: TypeAlias = AllColumns | Column | Embed


class Filter(Struct, frozen=True, tag=True):
    """``field operator value``; ``slot`` is the value's place in the arguments."""

    field: Field
    operator: Operator
    slot: int
    negated: bool = False
    quantifier: Quantifier | None = None
    config: str | None = None
    """Text search configuration of the full-text operators."""


class Is(Struct, frozen=True, tag=True):
    """``field IS [NOT] value``. On an embed, ``null`` asks whether it is missing."""

    field: Field
    value: IsValue
    negated: bool = False


class Logic(Struct, frozen=True, tag=True):
    """Conditions joined by AND or OR."""

    connective: Connective
    terms: tuple[Condition, ...]
    negated: bool = False


Condition: TypeAlias = Filter | Is | Logic


class Order(Struct, frozen=True):
    """One term of ORDER BY; with ``relation``, by a column of that to-one embed."""

    field: Field
    direction: Direction | None = None
    nulls: Nulls | None = None
    relation: str | None = None


class Selection(Struct, frozen=True):
    """What is wanted of one relation: at the top of a request, or inside an embed.

    Attributes:
        items: Output in the client's order; empty gives rows without columns.
        where: Conditions that must all hold.
        order: Terms of ORDER BY.
        limit: Slot of the greatest number of rows, or None.
        offset: Slot of the number of rows to skip, or None.
    """

    items: tuple[Item, ...] = (AllColumns(),)
    where: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int | None = None


class Keyset(Struct, frozen=True):
    """A page that begins beside a row, and not at a number of rows.

    The selection's order has to tell any two rows apart; see `keyset_order`.

    Attributes:
        is_backward: It ends before the row, and does not begin after it.
        slots: Slots of the row's values, one for each term of the order, None for a null; empty for the
            first page there is.
    """

    is_backward: bool = False
    slots: tuple[int | None, ...] = ()


class Read(Struct, frozen=True, cache_hash=True):
    """Rows of ``schema.relation``, as one document.

    Attributes:
        schema: Exposed schema the relation lives in.
        relation: Table, view, materialized view or foreign table.
        selection: What is wanted of it.
        shape: How the rows come back.
        count: Also count the rows there are without limit and offset.
        strip_nulls: Leave keys without a value out of the document.
        max_rows: Limit of every selection that sets none; None for no limit.
        keyset: Where the page begins, and the wish to know where the next ones do; None without pages.
    """

    schema: str
    relation: str
    selection: Selection
    shape: Shape = "array"
    count: Count | None = None
    strip_nulls: bool = False
    max_rows: int | None = None
    keyset: Keyset | None = None


class Conflict(Struct, frozen=True):
    """What to do about a row that exists already.

    Attributes:
        columns: Columns of the unique constraint; None for the primary key.
        merge: Update the row that exists; otherwise leave it alone.
    """

    columns: tuple[str, ...] | None = None
    merge: bool = True


class Filled(Struct, frozen=True):
    """A column whose value comes from another row, as the server wrote it.

    Attributes:
        column: It.
        slot: Of the value.
        origin: The other row's relation.
        name: The column there, of whose type the value is.
    """

    column: str
    slot: int
    origin: Key
    name: str


class Part(Struct, frozen=True):
    """What makes an insert that of one row among several that belong together. It gives values, no document.

    Attributes:
        filled: Columns with values of rows that were written before.
        gives: Columns whose values rows that are written later need.
        is_counted: Whether an upsert counts for the status of the answer.
    """

    filled: tuple[Filled, ...] = ()
    gives: tuple[str, ...] = ()
    is_counted: bool = False


class Mutation(Struct, frozen=True, cache_hash=True):
    """Rows of ``schema.relation`` to insert, update or delete, and what comes back of them.

    Attributes:
        selection: ``where`` says which rows are changed; the rest is about the rows that come back.
        body: Slot of the JSON document with the values, an array of objects or one object; None without.
        columns: What the document gives values to. Empty inserts rows of defaults, and updates nothing.
        nested: Columns whose values in the document may be objects or arrays.
        is_list: The document is an array.
        defaults: A key that a row does not have is the column's default, and not null.
        conflict: Upsert.
        is_single: Exactly one row may be written, else everything is rolled back.
        matches_key: PUT: ``where`` names the primary key and the document must have the same values.
        max_affected: Slot of the greatest number of rows that may be written, or None.
        part: It is one row of several.
        written: Slot of the keys of rows that are written already, of which the answer is made: a JSON array
            of objects, whose keys are the places of columns in the primary key.
    """

    action: Action
    schema: str
    relation: str
    selection: Selection
    returning: Returning = "minimal"
    body: int | None = None
    columns: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()
    is_list: bool = False
    defaults: bool = False
    conflict: Conflict | None = None
    is_single: bool = False
    matches_key: bool = False
    max_affected: int | None = None
    part: Part | None = None
    written: int | None = None
    shape: Shape = "array"
    count: Count | None = None
    strip_nulls: bool = False
    max_rows: int | None = None


class Argument(Struct, frozen=True):
    """A named argument of a call; ``slots`` are its texts, several when it was given several times."""

    name: str
    slots: tuple[int, ...]


class Call(Struct, frozen=True):
    """What the function ``schema.function`` returns.

    Attributes:
        selection: What is wanted of its rows.
        arguments: Those that are texts.
        content: What the body is.
        body: Slot of the body, or None.
        keys: Names of the arguments in a JSON body.
        is_list: The JSON body is an array, whose first object counts.
        is_read: The call must not write, whatever the function says of itself.
        is_single: Exactly one row may come, else everything is rolled back.
        max_affected: Slot of the greatest number of rows that may come, or None.
    """

    schema: str
    function: str
    selection: Selection
    arguments: tuple[Argument, ...] = ()
    content: Content = "none"
    body: int | None = None
    keys: tuple[str, ...] = ()
    is_list: bool = False
    is_read: bool = True
    is_single: bool = False
    max_affected: int | None = None
    shape: Shape = "array"
    count: Count | None = None
    strip_nulls: bool = False
    max_rows: int | None = None

    @property
    def given(self) -> frozenset[str]:
        """Names of all arguments."""
        return frozenset((*self.keys, *(argument.name for argument in self.arguments)))


Request: TypeAlias = Read | Mutation | Call
"""Everything that can be compiled; its parts are the shape, and their values come beside it."""
