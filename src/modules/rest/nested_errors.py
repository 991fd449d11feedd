"""Refusals of nested writes. Each says where in the body it met what it refuses."""

from __future__ import annotations

from monohull.kernel.errors import Problem


class NestedInvalid(Problem):
    """A value in the body is not what its place takes, or contradicts the row that it belongs to."""

    code = "MH116"
    status = 400
    hint = "Send an object where one row goes, an array of objects where several go, and each value once."


class NestedTooLarge(Problem):
    """The body has more rows, or rows further down, than a nested write may have."""

    code = "MH117"
    status = 422
    hint = "Send fewer rows at a time, or those that have none below them as a plain list."


class NestedRowMissing(Problem):
    """A row that others refer to was not written, or has no value for them to refer to."""

    code = "MH118"
    status = 409

    def __init__(self, relation: str, columns: str) -> None:
        super().__init__(
            f"A row of '{relation}' gave no value of {columns} that other rows of the body need",
            hint="A trigger may have left the row out, or the view does not give the key back.",
        )


class NestedNotPossible(Problem):
    """The request asks for something that a nested write cannot do."""

    code = "MH119"
    status = 400
