"""What ``monohull doctor`` looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.rbac.repositories import LOST
from monohull.kernel.diagnosis import Diagnosis

if TYPE_CHECKING:
    from monohull.kernel.runtime import Runtime


async def look(runtime: Runtime) -> Diagnosis:
    """Say which rules of columns limit nothing, because what they are about is not there."""
    async with runtime.database.connection() as connection:
        lost = await connection.fetch(LOST)
    if not lost:
        return Diagnosis("columns", "ok", "every rule of columns is about a relation that is there")
    named = ", ".join(f"{row['relation']} ({row['role']})" for row in lost[:5])
    message = (
        f"{len(lost)} rules of columns are about no relation that is there: {named}; what took its place is "
        "not limited. Limit that, and take the rule away with `monohull roles columns free`"
    )
    return Diagnosis("columns", "advice", message)
