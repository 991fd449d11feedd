"""The plan of a read: one field per clause of the statement it becomes.

Source of the idea: PostgREST, ``Plan/ReadPlan.hs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from modules.query.ast import (
        Call,
        Connective,
        Count,
        Direction,
        Filter,
        IsValue,
        Mutation,
        Nulls,
        Shape,
        Step,
    )
    from modules.query.columns import Key
    from modules.query.routines import Parameter, Routine


class Source(Struct, frozen=True):
    """A relation in FROM. Without an alias it goes by its own name, schema and all.

    Attributes:
        rows: The common table expression that stands in for it: the rows that were just written.
        computed: How a function makes its rows of another relation's row.
        called: The call that gives its rows.
    """

    key: Key
    alias: str | None = None
    rows: str | None = None
    computed: Computed | None = None
    called: Called | None = None


class Computed(Struct, frozen=True):
    """A computed relationship: ``function`` of a row of ``parent``."""

    function: Key
    parent: Source


class Called(Struct, frozen=True):
    """A call in FROM.

    Attributes:
        function: What is called.
        parameters: The parameters that something is given to, each with the slots of its texts; without
            slots it comes from the body.
        body: Slot of the body, where something of it is used.
        is_list: The body is a JSON array.
        is_row: The function gives rows; otherwise its value is the one column of a row.
    """

    function: Key
    parameters: tuple[tuple[Parameter, tuple[int, ...]], ...]
    body: int | None
    is_list: bool
    is_row: bool


class PlannedField(Struct, frozen=True):
    """A column of ``source``, or a place inside one.

    Attributes:
        source: The relation, or the name of an embed's join.
        name: The column. Unknown to the catalog it may be a function of the row.
        base_type: Its type with domains resolved, or None when the catalog does not know it.
        to_json: The arrows of ``path`` need the value as JSON first.
    """

    source: Source | str
    name: str
    path: tuple[Step, ...] = ()
    base_type: str | None = None
    to_json: bool = False


class PlannedColumn(Struct, frozen=True, tag=True):
    """One value of SELECT; ``name`` is None where its own name will do.

    Attributes:
        is_list: It is an array that a spread gathered, which is empty rather than null.
        convert: The function by which a domain represents itself as JSON.
    """

    field: PlannedField | None
    name: str | None = None
    cast: str | None = None
    aggregate: str | None = None
    aggregate_cast: str | None = None
    is_list: bool = False
    convert: Key | None = None


class PlannedStar(Struct, frozen=True, tag=True):
    """All columns of the source."""

    source: Source | str


class PlannedEmbed(Struct, frozen=True, tag=True):
    """The document of an embed, by the join that brings it; as ``jsonb`` where it is shown as text."""

    join: str
    name: str
    is_list: bool
    is_jsonb: bool = False


PlannedOutput: TypeAlias = PlannedColumn | PlannedStar | PlannedEmbed


class PlannedFilter(Struct, frozen=True, tag=True):
    """A comparison whose value is bound; ``convert`` makes a domain of the client's text."""

    field: PlannedField
    filter: Filter
    convert: Key | None = None


class PlannedIs(Struct, frozen=True, tag=True):
    """``IS`` of a column."""

    field: PlannedField
    value: IsValue
    negated: bool


class PlannedAbsence(Struct, frozen=True, tag=True):
    """Whether an embed has no row; ``negated`` that it has one."""

    join: PlannedJoin
    negated: bool


class PlannedLogic(Struct, frozen=True, tag=True):
    """Conditions joined by AND or OR."""

    connective: Connective
    terms: tuple[PlannedCondition, ...]
    negated: bool


PlannedCondition: TypeAlias = PlannedFilter | PlannedIs | PlannedAbsence | PlannedLogic


class PlannedOrder(Struct, frozen=True):
    """A term of ORDER BY; ``embed`` is the one it looks into, for a column that the embed does not bring."""

    field: PlannedField
    direction: Direction | None = None
    nulls: Nulls | None = None
    embed: PlannedJoin | None = None


class Link(Struct, frozen=True):
    """How an embed's rows belong to the parent's: equal columns, perhaps through a junction.

    Attributes:
        equal: Pairs of columns, each with its source.
        junction: The table between, joined in.
    """

    equal: tuple[tuple[PlannedField, PlannedField], ...]
    junction: Source | None = None


class PlannedJoin(Struct, frozen=True):
    """A lateral join that brings an embed.

    Attributes:
        name: Alias of the join.
        read: What is read.
        link: How it hangs on the parent.
        is_list: Rows are gathered into an array.
        is_inner: Parents without a row are dropped.
        spread: Names of the values a spread to-many gathers, one array each.
    """

    name: str
    read: ReadPlan
    link: Link
    is_list: bool
    is_inner: bool
    spread: tuple[str, ...] | None = None


class ReadPlan(Struct, frozen=True):
    """A SELECT.

    Attributes:
        source: FROM.
        outputs: SELECT, empty for rows without columns.
        joins: Embeds, in the client's order.
        where: Conditions that must all hold.
        order: ORDER BY.
        limit, offset: Slots of the values, or None.
        max_rows: The limit where ``limit`` is None.
        grouped: Aggregates are among the outputs: GROUP BY the others.
    """

    source: Source
    outputs: tuple[PlannedOutput, ...]
    joins: tuple[PlannedJoin, ...] = ()
    where: tuple[PlannedCondition, ...] = ()
    order: tuple[PlannedOrder, ...] = ()
    limit: int | None = None
    offset: int | None = None
    max_rows: int | None = None
    grouped: bool = False


class PlannedKeyset(Struct, frozen=True):
    """A page beside a row.

    Attributes:
        is_backward: The rows before it, and not after it.
        slots: Slots of its values by term of the order, None for a null; empty for the first page.
        nullable: By term of the order, whether rows may have no value there.
    """

    is_backward: bool
    slots: tuple[int | None, ...]
    nullable: tuple[bool, ...]


class DocumentPlan(Struct, frozen=True):
    """A read and the document it is answered with.

    Attributes:
        relations: Every relation that is read, junctions included, for the check of access.
        keyset: Which page it is, of those that cursors lead through.
        is_of_one: Its conditions leave one row at most, and nothing else is asked of it.
    """

    read: ReadPlan
    shape: Shape
    count: Count | None
    strip_nulls: bool
    relations: frozenset[Key]
    keyset: PlannedKeyset | None = None
    is_of_one: bool = False


class BodyColumn(Struct, frozen=True):
    """A column that the body gives values to.

    Attributes:
        type: As it is written in SQL, schema and all where it needs one.
        default: Expression of what it is without a value, or None.
        parse: Function that makes it from JSON, where the project has one.
        show: Function that turns it into JSON, where the project has one.
    """

    name: str
    type: str
    default: str | None = None
    parse: Key | None = None
    show: Key | None = None


class FilledColumn(Struct, frozen=True):
    """A column that another row gives its value to; ``type`` is that of the column there."""

    name: str
    slot: int
    type: str


class MutationPlan(Struct, frozen=True):
    """An INSERT, UPDATE or DELETE, and what is read of its rows.

    Attributes:
        mutation: What was asked for.
        target: The relation.
        columns: What the body gives values to.
        where: Conditions on the rows to change; of a PUT, on the body.
        is_exact: The document holds texts that ``json`` alone keeps to the letter.
        returned: Columns of RETURNING; None for all of them.
        read: How the representation is read, or None where none is wanted.
        conflict: Columns of ON CONFLICT; empty without.
        key: Columns of the primary key, where it is wanted.
        relations: Every relation that is touched, for the check of access.
        filled: What other rows give values to.
        found_by: Columns of the primary key, by which rows that are written already are found.
        link: How these are tied to their keys, where they are read.
        is_of_one: It inserts one row, which PostgreSQL gives back whatever happens.
    """

    mutation: Mutation
    target: Source
    columns: tuple[BodyColumn, ...]
    where: tuple[PlannedCondition, ...]
    is_exact: bool
    returned: tuple[str, ...] | None
    read: ReadPlan | None
    conflict: tuple[str, ...]
    key: tuple[str, ...]
    relations: frozenset[Key]
    filled: tuple[FilledColumn, ...] = ()
    found_by: tuple[BodyColumn, ...] = ()
    link: Link | None = None
    is_of_one: bool = False


class CallPlan(Struct, frozen=True):
    """A call, and what is read of its rows.

    Attributes:
        call: What was asked for.
        routine: What is called.
        read: How its rows are read.
        relations: Every relation that is embedded, for the check of access.
    """

    call: Call
    routine: Routine
    read: ReadPlan
    relations: frozenset[Key]
