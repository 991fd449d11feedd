"""What the planner expects of a statement, by its own EXPLAIN; nothing is executed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from modules.query.advice import Advice, Index, advise, wants_of
from modules.query.execute import execute_plan
from monohull.kernel.database.statements import Statement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from modules.query.catalog import Catalog
    from modules.query.columns import Key
    from modules.query.compiler import Compiled
    from modules.query.execute import DataSource, Transaction
    from modules.query.probe import Plan

_EXPLAIN: Final = "EXPLAIN (FORMAT JSON)"
_INDEXES: Final = """
SELECT n.nspname, c.relname, pg_catalog.pg_get_indexdef(i.indexrelid, 1, true), am.amname
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
JOIN pg_catalog.pg_am am ON am.oid = ic.relam
WHERE i.indisvalid AND i.indpred IS NULL AND (n.nspname, c.relname) IN (
    SELECT one ->> 0, one ->> 1 FROM pg_catalog.json_array_elements($1::json) AS one)
"""


class Estimate(Struct, frozen=True):
    """What the planner expects.

    Attributes:
        cost: In its own units: one page read in sequence is 1.
        rows: That go into the answer, or are written.
        scanned: Names of relations that it would read from end to end.
    """

    cost: float
    rows: int
    scanned: frozenset[str]


async def ask_planner(
    source: DataSource, compiled: Compiled, values: Sequence[str | bytes], transaction: Transaction
) -> Estimate:
    """Ask the planner about ``compiled`` with these ``values``, as the caller's role.

    Raises:
        PostgresError: The server refused.
        Unavailable: No server, or no connection in time.
    """
    answer = await execute_plan(source, compiled, values, transaction, _EXPLAIN)
    return read_estimate(answer)


def read_estimate(explained: bytes) -> Estimate:
    """Read what EXPLAIN (FORMAT JSON) says."""
    plan: dict[str, Any] = msgspec.json.decode(explained)[0]["Plan"]
    scanned = frozenset(node["Relation Name"] for node in _nodes(plan) if node["Node Type"] == "Seq Scan")
    return Estimate(plan["Total Cost"], _rows(plan), scanned)


async def advice_on(
    source: DataSource, plan: Plan, catalog: Catalog, transaction: Transaction, found: Estimate
) -> Advice | None:
    """Say what of a request has no index, and which would help; None where nothing has none.

    Raises:
        PostgresError: The server refused.
        Unavailable: No server, or no connection in time.
    """
    wants = wants_of(plan, catalog)
    if not wants:
        return None
    relations: list[Key] = list(dict.fromkeys(want.relation for want in wants))
    asked = Statement(_INDEXES, (msgspec.json.encode(relations).decode(),))
    results = await source.run_batch((asked,), settings=transaction.settings)
    indexes = [
        Index((schema, name), first, method)
        for schema, name, first, method in (
            tuple((value or b"").decode() for value in row) for row in results[-1].rows
        )
    ]
    return advise(wants, indexes, found.scanned)


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


def _rows(plan: Mapping[str, Any]) -> int:
    """Return how many rows go into the document; of a write, how many it writes."""
    written = next((node for node in _nodes(plan) if node["Node Type"] == "ModifyTable"), None)
    made = written or plan
    inner = next((one for one in made.get("Plans", ()) if one.get("Parent Relationship") == "Outer"), made)
    return int(inner["Plan Rows"])
