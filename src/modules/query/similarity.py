"""Guess which name was meant.

PostgREST's hints come from the fuzzyset algorithm and clients compare them, so
the same is computed here: names are cut into grams of three letters, those that
share grams are ranked by cosine, the best fifty by edit distance; when no name
scores, the same again with grams of two.

Source: Glen Chiacchieri, fuzzyset.js; the Haskell package ``fuzzyset``, which PostgREST uses.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GRAM_SIZES: Final = (3, 2)
CANDIDATES: Final = 50
MIN_SCORE: Final = 0.33
MAX_NAME: Final = 128
"""Longer input is nobody's typing mistake; edit distance is quadratic."""


def most_similar(name: str, names: Iterable[str], *, min_score: float = MIN_SCORE) -> str | None:
    """Return the best of ``names``, or None when none scores ``min_score`` of 1.

    >>> most_similar("projectx", ["projects", "clients"])
    'projects'
    """
    return next((found for _, found in rank(name, names, min_score=min_score)), None)


def rank(name: str, names: Iterable[str], *, min_score: float = MIN_SCORE) -> list[tuple[float, str]]:
    """Return score and name of all that score ``min_score``, best first."""
    wanted = name.lower()
    if len(wanted) > MAX_NAME:
        return []
    unique = {candidate.lower(): candidate for candidate in names}
    if wanted in unique:
        return [(1.0, unique[wanted])]
    for size in GRAM_SIZES:
        close = sorted(_by_cosine(wanted, unique, size), reverse=True)[:CANDIDATES]
        scored = [(_closeness(wanted, candidate), unique[candidate]) for _, candidate in close]
        found = sorted((pair for pair in scored if pair[0] >= min_score), key=lambda pair: -pair[0])
        if found:
            return found
    return []


def _by_cosine(wanted: str, candidates: Iterable[str], size: int) -> Iterator[tuple[float, str]]:
    grams = _grams(wanted, size)
    length = math.sqrt(sum(n * n for n in grams.values()))
    for candidate in candidates:
        others = _grams(candidate, size)
        common = sum(n * others[gram] for gram, n in grams.items() if gram in others)
        if common:
            yield common / (length * math.sqrt(sum(n * n for n in others.values()))), candidate


def _grams(text: str, size: int) -> Counter[str]:
    plain = "-" + "".join(c for c in text if c.isalnum() or c in " ,_") + "-"
    plain = plain.ljust(size, "-")
    return Counter(plain[at : at + size] for at in range(len(plain) - size + 1))


def _closeness(one: str, other: str) -> float:
    return 1 - _distance(one, other) / max(len(one), len(other), 1)


def _distance(one: str, other: str) -> int:
    """Levenshtein's distance, a row at a time."""
    above = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        here = [row]
        for column, against in enumerate(other, 1):
            here.append(min(above[column] + 1, here[-1] + 1, above[column - 1] + (letter != against)))
        above = here
    return above[-1]
