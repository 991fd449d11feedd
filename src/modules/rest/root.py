"""What the data API says of itself: the description at its root, and the methods of each path.

Source: PostgREST 16, ``Response.hs``, ``InspectPlan`` and ``infoResponse``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from modules.query import RoutineNotFound, Transaction, in_slices
from modules.rest.described import SQL, SchemaFacts, TableFacts, read_facts
from modules.rest.errors import MediaTypeNotAvailable, RootNotDescribed
from modules.rest.openapi import describe
from monohull.kernel.database.statements import Statement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.query import Catalog, DataSource, Relation, Steps
    from modules.rest.scopes import Sight
    from modules.rest.settings import RestSettings
    from monohull.kernel.column_limits import ColumnLimits

ALLOWS_ROOT: Final = "OPTIONS,GET,HEAD"
_DESCRIBED_AS: Final = frozenset({"*/*", "application/*", "application/openapi+json", "application/json"})
_ENCODER: Final = msgspec.json.Encoder()


class Standpoint(Struct, frozen=True):
    """From where a schema is looked at.

    Attributes:
        catalog: What there is.
        settings: What of it is described.
        schema: The one.
        closed: Names of relations that are closed to the caller.
        address: Where clients reach the data API, unless the settings know better.
        sight: What a limited key sees of it; None for everything.
        columns: What the caller is limited to; None for nothing.
    """

    catalog: Catalog
    settings: RestSettings
    schema: str
    closed: frozenset[str]
    address: str
    sight: Sight | None = None
    columns: ColumnLimits | None = None


async def describe_schema(source: DataSource, transaction: Transaction, standpoint: Standpoint) -> bytes:
    """Return the description of a schema for the caller of ``transaction``.

    Raises:
        RootNotDescribed: PGRST126, it is switched off.
        PostgresError: The server refused.
    """
    mode = standpoint.settings.openapi_mode
    if mode == "disabled":
        raise RootNotDescribed
    ignores = "true" if mode == "ignore-privileges" else "false"
    statement = Statement(SQL, (standpoint.schema, ignores), f"description.{transaction.plan_key}")
    results = await source.run_batch(
        (*transaction.before, statement), settings=transaction.settings, commit=transaction.commit
    )
    document = results[-1].rows[0][0]
    assert document is not None
    return await in_slices(_write(document, standpoint))


def _write(document: bytes, standpoint: Standpoint) -> Steps[bytes]:
    catalog, schema, sight = standpoint.catalog, standpoint.schema, standpoint.sight
    facts = yield from read_facts(document)
    tables: list[TableFacts] = []
    references: dict[str, Mapping[str, tuple[str, str]]] = {}
    for fact in facts.tables:
        table = fact if sight is None else sight.table(fact)
        if table is not None and table.name not in standpoint.closed:
            table = shown_columns(table, standpoint.columns, schema)
            tables.append(with_keys(table, _keys(catalog, schema, table.name)))
            references[table.name] = find_references(catalog, schema, table.name)
        yield
    settings = standpoint.settings
    functions = facts.functions if sight is None else sight.functions(facts.functions)
    described = yield from describe(
        SchemaFacts(tuple(tables), functions, facts.comment),
        references,
        address=settings.openapi_server_proxy_uri or standpoint.address,
        has_security=settings.openapi_security_active,
    )
    return _ENCODER.encode(described)


def shown_columns(table: TableFacts, limits: ColumnLimits | None, schema: str) -> TableFacts:
    """Return ``table`` with the columns that the caller may read."""
    rule = None if limits is None else limits.of(schema, table.name)
    if rule is None:
        return table
    columns = tuple(column for column in table.columns if rule.shows(column.name))
    return msgspec.structs.replace(table, columns=columns)


def with_keys(table: TableFacts, keys: tuple[str, ...]) -> TableFacts:
    """Return ``table`` with its primary key marked; the catalog knows that of views too."""
    replace = msgspec.structs.replace
    columns = (replace(column, is_key=column.name in keys) for column in table.columns)
    return replace(table, columns=tuple(columns)) if keys else table


def _keys(catalog: Catalog, schema: str, name: str) -> tuple[str, ...]:
    relation = catalog.find(schema, name)
    return () if relation is None else relation.primary_key


def find_references(catalog: Catalog, schema: str, name: str) -> dict[str, tuple[str, str]]:
    """Return the table and column that each column refers to by itself; tables go before views."""
    found: dict[str, tuple[str, str]] = {}
    ways = catalog.related((schema, name))
    for way in sorted(ways, key=lambda one: one.is_target_view):
        if way.is_referring and len(way.pairs) == 1:
            [(here, there)] = way.pairs
            found.setdefault(here, (way.target[1], there))
    return found


def demand_description(accept: str) -> None:
    """Refuse a client that wants something else than the description.

    Raises:
        MediaTypeNotAvailable: PGRST107.
    """
    wanted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    if not _DESCRIBED_AS.intersection(wanted):
        raise MediaTypeNotAvailable(wanted)


def allowed_on_relation(relation: Relation) -> str:
    """Return the methods of a relation, by what can be done with it and not by who asks."""
    can_put = relation.allows_insert and relation.allows_update and relation.primary_key
    return ",".join(
        (
            ALLOWS_ROOT,
            *(("POST",) if relation.allows_insert else ()),
            *(("PUT",) if can_put else ()),
            *(("PATCH",) if relation.allows_update else ()),
            *(("DELETE",) if relation.allows_delete else ()),
        )
    )


def allowed_on_routine(catalog: Catalog, schema: str, name: str) -> str:
    """Return the methods of a function; only what writes nothing can be read.

    Raises:
        RoutineNotFound: PGRST202.
    """
    overloads = catalog.routines.get((schema, name))
    if not overloads:
        raise RoutineNotFound(f"{schema}.{name}", "", hint=None)
    return "OPTIONS,GET,HEAD,POST" if any(one.is_read_only for one in overloads) else "OPTIONS,POST"


def answer_headers(allow: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer to OPTIONS that no browser asked before another request."""
    return [
        (b"allow", allow.encode()),
        (b"access-control-allow-origin", b"*"),
        (b"content-length", b"0"),
    ]
