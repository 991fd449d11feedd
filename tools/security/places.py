"""Where something was found in the source, and which of it is right all the same."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "src"
EXCEPTIONS: Final = Path(__file__).with_name("exceptions.toml")

Excused: TypeAlias = Mapping[tuple[str, str], Collection[str]]
"""What may be there, by rule and path."""


class Place(NamedTuple):
    """Where a rule is broken."""

    path: str
    line: int
    rule: str
    found: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.found}: {self.message}"


def exceptions() -> Excused:
    """Return the places that have a reason."""
    entries = tomllib.loads(EXCEPTIONS.read_text(encoding="utf-8"))["place"]
    if unexplained := [entry["path"] for entry in entries if not entry.get("why")]:
        raise ValueError(f"{EXCEPTIONS.name}: {unexplained[0]} has no reason")
    return {(entry["rule"], entry["path"]): tuple(entry["found"]) for entry in entries}


def unexcused(places: Iterable[Place], excused: Excused) -> list[Place]:
    """Return the places that have no reason."""
    return [place for place in places if place.found not in excused.get((place.rule, place.path), ())]


def unused(places: Iterable[Place], excused: Excused) -> list[tuple[str, str, str]]:
    """Return the reasons for places that there are not, as rule, path and what was there."""
    there = {(place.rule, place.path, place.found) for place in places}
    every = {(rule, path, found) for (rule, path), founds in excused.items() for found in founds}
    return sorted(every - there)
