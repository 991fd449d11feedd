r"""Follow the columns of views to the tables they come from, so that views take part in embedding.

PostgreSQL keeps a view as a parsed query, and with each output column the table
and column it stems from, as far as it is passed on unchanged:

    {TARGETENTRY :expr {…} :resno 2 :resname client_id :ressortgroupref 0
     :resorigtbl 16402 :resorigcol 3 :resjunk false}

A view over a view is followed further here. Where a view has every column of a
foreign key, or of the key it refers to, it stands in for its table: the
relationship is there between tables, from view to table, table to view, and
view to view.

Source of the idea: PostgREST, ``SchemaCache.hs``, ``allViewsKeyDependencies``.
"""

from __future__ import annotations

import re
from itertools import islice, product
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec.structs import replace

from modules.query.catalog import ForeignKey, Relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from modules.query.columns import Key
    from modules.query.steps import Steps

Origin: TypeAlias = "tuple[Key, str]"
"""A table and one of its columns."""

Origins: TypeAlias = "Mapping[Key, Mapping[str, Origin]]"
"""By view and output column; what is computed is absent."""

TARGET_DEPTH: Final = 2
"""Braces around an output column of the query itself; those of a subquery are deeper."""

MAX_WAYS: Final = 16
"""A view may show one column several times; so many combinations of a key are taken."""

_TOKEN: Final = re.compile(
    r"\\.|[{}]"
    r"|:resno (\d+) :resname (?:\\.|[^ \\])+ :ressortgroupref \d+"
    r" :resorigtbl (\d+) :resorigcol (\d+) :resjunk false",
    re.DOTALL,
)


def read_targets(definition: str) -> Iterator[tuple[int, int, int]]:
    """Yield number, origin's oid and origin's column number of each output column that has an origin.

    Args:
        definition: ``pg_rewrite.ev_action`` as text.
    """
    depth = 0
    for token in _TOKEN.finditer(definition):
        text = token.group()
        if text == "{":
            depth += 1
        elif text == "}":
            depth -= 1
        elif depth == TARGET_DEPTH and token[1] and token[2] != "0":
            yield int(token[1]), int(token[2]), int(token[3])


def follow(direct: Origins, relations: Mapping[Key, Relation]) -> Steps[Origins]:
    """Follow columns through views over views down to what is no view."""

    def end(key: Key, column: str) -> Origin | None:
        for _ in range(len(direct) + 1):
            if not relations[key].is_view:
                return key, column
            step = direct.get(key, {}).get(column)
            if step is None or step[0] not in relations:
                return None
            key, column = step
        return None

    found: dict[Key, dict[str, Origin]] = {}
    for key, columns in direct.items():
        for column in columns:
            if (origin := end(key, column)) is not None:
                found.setdefault(key, {})[column] = origin
        yield
    return found


def with_keys(relations: Mapping[Key, Relation], origins: Origins) -> Steps[dict[Key, Relation]]:
    """Give views the keys of their tables, where they show all of the columns.

    A row of a join is known by the primary keys of all its tables together.
    """
    found = dict(relations)
    for key, columns in origins.items():
        bases = list(dict.fromkeys(table for table, _ in columns.values()))
        uniques: set[frozenset[str]] = set()
        primary_key: list[str] = []
        for base in bases:
            table = relations[base]
            for unique in table.uniques:
                uniques.update(frozenset(way) for way in _ways(columns, base, tuple(sorted(unique))))
            primary_key += next(_ways(columns, base, table.primary_key), ())
        found[key] = replace(relations[key], primary_key=tuple(primary_key), uniques=frozenset(uniques))
        yield
    return found


def stand_ins(foreign_keys: Sequence[ForeignKey], origins: Origins) -> Steps[list[ForeignKey]]:
    """Return the foreign keys that views have by standing in for their tables."""
    views_of: dict[Key, list[Key]] = {}
    for view, columns in origins.items():
        for table in dict.fromkeys(table for table, _ in columns.values()):
            views_of.setdefault(table, []).append(view)
    found: list[ForeignKey] = []
    for fk in foreign_keys:
        referring, referred = tuple(a for a, _ in fk.pairs), tuple(b for _, b in fk.pairs)
        sources = [(fk.source, referring), *_views(fk.source, referring, views_of, origins)]
        targets = [(fk.target, referred), *_views(fk.target, referred, views_of, origins)]
        for (source, here), (target, there) in islice(product(sources, targets), 1, None):
            found.append(ForeignKey(fk.name, source, target, tuple(zip(here, there, strict=True))))
        yield
    return found


def _views(
    table: Key, columns: tuple[str, ...], views_of: Mapping[Key, Sequence[Key]], origins: Origins
) -> Iterator[tuple[Key, tuple[str, ...]]]:
    for view in views_of.get(table, ()):
        for way in _ways(origins[view], table, columns):
            yield view, way


def _ways(columns: Mapping[str, Origin], table: Key, wanted: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield each choice of output columns that shows the ``wanted`` columns of ``table``."""
    if not wanted:
        return
    shown = [[name for name, origin in columns.items() if origin == (table, one)] for one in wanted]
    yield from islice(product(*shown), MAX_WAYS)
