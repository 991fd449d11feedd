"""What the data API tells the rest of the product."""

from __future__ import annotations

from typing import ClassVar

from monohull.kernel.events import Event


class TableCached(Event, frozen=True):
    """Answers about a table are kept from now on, or for another time."""

    name: ClassVar[str] = "rest.table_cached"

    relation: str
    max_age_seconds: int


class TableUncached(Event, frozen=True):
    """Answers about a table are kept no more."""

    name: ClassVar[str] = "rest.table_uncached"

    relation: str


class SensitiveColumnsRead(Event, frozen=True):
    """A request selected columns marked ``@sensitive``; ``filters`` are fields and operators, no values."""

    name: ClassVar[str] = "rest.sensitive_columns_read"

    relation: str
    columns: tuple[str, ...]
    rows: int
    filters: tuple[str, ...]
    method: str
