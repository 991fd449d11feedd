"""What PostgreSQL says to a caller who is limited to some columns: without the others.

Its messages name columns and constraints, its details quote whole rows, its hints
suggest names. Statements do not name a hidden column, but triggers, constraints
and policies do. Code and status stay, since clients act by them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from monohull.kernel.database.frames import PostgresError

if TYPE_CHECKING:
    from collections.abc import Iterable

_SAYS: Final = {
    "23502": "A column that needs a value has none.",
    "23503": "A row that is referred to, or refers to this one, is in the way.",
    "23505": "There is a row with these values already.",
    "23514": "A value violates a check constraint.",
    "23P01": "The row is in conflict with another one.",
}
_OTHERWISE: Final = "The database refused the statement."
_RAISED: Final = "PGRST"
"""A function's own answer, which is sent as it is."""

_LONGEST_NAME: Final = 63
"""Names of constraints are made of those of columns, and cut off here: what was cut cannot be recognised."""
_QUOTED: Final = re.compile(rf'"[^"]{{{_LONGEST_NAME},}}"')


def veil(error: PostgresError, hidden: Iterable[str]) -> PostgresError:
    """Return ``error`` without the columns ``hidden``, and without the values of rows.

    >>> veil(PostgresError({"C": "42703", "M": "no column x", "H": 'Perhaps "t.pin".'}), ["pin"]).hint
    """
    if error.sqlstate == _RAISED:
        return error
    names = "|".join(re.escape(name) for name in sorted(hidden, key=len, reverse=True))
    named = re.compile(rf"(?<![^\W_])(?:{names})(?![^\W_])", re.IGNORECASE) if names else None

    def tells(text: str | None) -> bool:
        return text is not None and (
            (named is not None and named.search(text) is not None) or _QUOTED.search(text) is not None
        )

    fields = {"C": error.sqlstate, "V": error.severity, "M": error.message}
    if tells(error.message):  # what goes with it is about the same, whether it names it or not
        fields["M"] = _SAYS.get(error.sqlstate, _OTHERWISE)
        return PostgresError(fields)
    if error.detail is not None and not error.sqlstate.startswith("23") and not tells(error.detail):
        fields["D"] = error.detail
    if error.hint is not None and not tells(error.hint):
        fields["H"] = error.hint
    return PostgresError(fields)
