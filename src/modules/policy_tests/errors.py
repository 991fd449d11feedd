"""Why a matrix cannot be made, in one line for the person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monohull.kernel.refusals import WrongSetup

if TYPE_CHECKING:
    from collections.abc import Iterable


class CannotProve(WrongSetup):
    """A caller would step over row security, so that its cells would prove nothing."""

    def __init__(self, reasons: Iterable[str]) -> None:
        super().__init__("; ".join(reasons))


class CannotFill(WrongSetup):
    """Some tables have no rows to try; nothing is written, so that none is left out in silence."""

    def __init__(self, reasons: Iterable[str]) -> None:
        lines = "\n".join(f"  {reason}" for reason in reasons)
        super().__init__(
            f"no rows could be made for these tables:\n{lines}\n"
            'Say values in monohull.toml, as [policies.tables."schema.name".row] column = "value".'
        )


class BadDeclaration(WrongSetup):
    """``[policies]`` of ``monohull.toml``, or a matrix file, does not fit."""
