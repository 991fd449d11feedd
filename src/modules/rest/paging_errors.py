"""Refusals of cursors."""

from __future__ import annotations

from monohull.kernel.errors import Problem


class CursorInvalid(Problem):
    """No cursor of this instance: cut, changed, or signed with a secret that is no longer used."""

    code = "MH120"
    status = 400
    hint = "Take cursors from the Link header of an answer as they are, or begin without one."

    def __init__(self) -> None:
        super().__init__("The cursor is none that was given out here.")


class CursorOfAnother(Problem):
    """A cursor of another table, order, filter or role."""

    code = "MH121"
    status = 400
    hint = (
        "Repeat the request that the cursor came with: table, filters, order and role have to be the same. "
        "Without a cursor a new walk begins."
    )

    def __init__(self) -> None:
        super().__init__("The cursor belongs to another request.")


class CursorTooLong(Problem):
    """The values that a row is ordered by are too long for a URL."""

    code = "MH123"
    status = 400
    hint = "Order by shorter columns: a timestamp, a number, the first letters of a text."

    def __init__(self, length: int, longest: int) -> None:
        super().__init__(
            "The values that the rows are ordered by are too long for a cursor.",
            details=f"The cursor would have {length} characters; it may have {longest}.",
        )
