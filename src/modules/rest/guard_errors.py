"""Refusals of the query guard: the request would cost more than its caller may spend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from monohull.kernel.errors import Problem

if TYPE_CHECKING:
    from modules.query import Advice

_LESS: Final = "Ask for less at once: narrow the filters, or page by a cursor along an index."


class _Refusal(Problem):
    """Says what lacks an index, and which would help."""

    status = 403

    def __init__(self, message: str, advice: Advice | None) -> None:
        details, hint = None, _LESS
        if advice is not None:
            details = f"No index serves {advice.lacks}: all rows would be looked at."
            if advice.index is not None:
                hint = f"This index would help: {advice.index}"
        super().__init__(message, details=details, hint=hint)


class QueryTooCostly(_Refusal):
    """The planner expects the request to cost more than the caller's role or key may spend."""

    code = "MH124"

    def __init__(self, cost: float, most: int, advice: Advice | None) -> None:
        super().__init__(f"The request is expected to cost {cost:.0f}; it may cost {most}.", advice)


class TooManyRowsExpected(_Refusal):
    """The planner expects more rows than the caller's role or key may have or write at once."""

    code = "MH125"

    def __init__(self, rows: int, most: int, advice: Advice | None) -> None:
        super().__init__(f"The request is expected to be about {rows} rows; it may be about {most}.", advice)


class EmbedsTooDeep(Problem):
    """More embeds within embeds than the caller's role or key may ask for."""

    code = "MH126"
    status = 403
    hint = "Ask for the inner rows in a request of their own."

    def __init__(self, depth: int, most: int) -> None:
        super().__init__(f"The request has embeds {depth} deep; they may be {most} deep.")
