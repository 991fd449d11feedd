"""Would anybody notice? Drop each policy in turn and look whether a cell changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from modules.policy_tests.differences import cells_that_differ
from modules.policy_tests.statements import undone
from monohull.kernel.database.server import quote_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from modules.policy_tests.examination import Examination
    from modules.policy_tests.matrix import Matrix


class Loss(Struct, frozen=True):
    """What happened without one policy.

    Attributes:
        cells: How many cells changed; with none, nobody would notice.
    """

    table: str
    policy: str
    cells: int


async def losses(examination: Examination, whole: Matrix) -> AsyncIterator[Loss]:
    """Drop every policy of the matrix, one at a time, and count the cells that change.

    Each is back before the next is dropped.
    """
    for title, entry in whole.tables.items():
        schema, _, table = title.partition(".")
        for policy in entry.policies:
            async with undone(examination.connection):
                await examination.connection.execute(
                    f"drop policy {quote_name(policy)} on {quote_name(schema)}.{quote_name(table)}"
                )
                changed = cells_that_differ(whole, await examination.look())
            yield Loss(title, policy, len(changed))
