"""What is wrong with a configuration, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable


class SettingsFault(Struct, frozen=True):
    """One thing wrong with the configuration."""

    variable: str
    source: str
    message: str

    def __str__(self) -> str:
        return f"{self.variable} ({self.source}): {self.message}"


class SettingsError(Exception):
    """The configuration does not hold; every fault is one line."""

    def __init__(self, faults: Iterable[SettingsFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class Value(Struct, frozen=True):
    """A raw value and where it was found."""

    raw: Any
    source: str
