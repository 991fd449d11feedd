"""What a SELECT puts out: columns, all columns, documents of embeds, and what spreads add.

Source: PostgREST 16, ``Plan.hs``: `expandStars`, `addDataRepresentationAliases`, `hoistSpreadAggFunctions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from modules.query import ast
from modules.query.errors import AggregatesOff, ColumnAbsent, GeometryMissing, NotImplementedYet
from modules.query.plan.model import (
    PlannedColumn,
    PlannedEmbed,
    PlannedField,
    PlannedJoin,
    PlannedOutput,
    PlannedStar,
    ReadPlan,
    Source,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modules.query.catalog import Catalog, Relation
    from modules.query.columns import Key

GEOMETRIES: Final = ("geometry", "geography")
"""Types of PostGIS."""


def plan_columns(
    catalog: Catalog,
    item: ast.AllColumns | ast.Column,
    relation: Relation,
    source: Source,
    *,
    aggregates: bool = True,
) -> list[PlannedOutput]:
    """Resolve an item of ``select`` that is no embed.

    Raises:
        AggregatesOff: PGRST123, ``aggregates`` are not allowed.
    """
    if isinstance(item, ast.AllColumns):
        return _all_columns(catalog, relation, source)
    if item.aggregate and not aggregates:
        raise AggregatesOff
    field = plan_field(item.field, relation, source) if item.field else None
    convert = _conversion(catalog, item, relation)
    name = item.alias or item.aggregate or (_path_name(item.field) if item.field else None)
    if name is None and field is not None and (item.cast or convert):
        name = field.name
    return [PlannedColumn(field, name, item.cast, item.aggregate, item.aggregate_cast, convert=convert)]


def _all_columns(catalog: Catalog, relation: Relation, source: Source) -> list[PlannedOutput]:
    """Write ``*`` out where a column is hidden, or represents itself as something else than its value."""
    is_limited = relation.rule is not None and relation.rule.reads is not None
    ways = catalog.representations
    found = [ways.get(column.type) for column in relation.columns.values()] if ways else []
    if not is_limited and not any(way is not None and way.to_json for way in found):
        return [PlannedStar(source)]
    return [
        output
        for name in relation.columns
        for output in plan_columns(catalog, ast.Column(ast.Field(name)), relation, source)
    ]


def _conversion(catalog: Catalog, item: ast.Column, relation: Relation) -> Key | None:
    if item.field is None or item.field.path or item.aggregate or not catalog.representations:
        return None
    column = relation.columns.get(item.field.name)
    way = catalog.representations.get(column.type) if column is not None else None
    return way.to_json if way is not None else None


def _path_name(field: ast.Field) -> str | None:
    """Name a JSON path by its last key; a path of indexes by its column."""
    if not field.path:
        return None
    keys = [step.key for step in field.path if isinstance(step.key, str)]
    return keys[-1] if keys else field.name


def plan_field(field: ast.Field, relation: Relation, source: Source | str) -> PlannedField:
    """Resolve a column, or a place inside one, of a relation's rows that ``source`` has.

    Raises:
        ColumnAbsent: 42703, the caller is limited to others.
    """
    if relation.rule is not None and not relation.rule.shows(field.name):
        owner = source if isinstance(source, str) else source.alias or source.key[1]
        raise ColumnAbsent(field.name, relation.rule.key, owner)
    column = relation.columns.get(field.name)
    return PlannedField(
        source,
        field.name,
        field.path,
        base_type=column.base_type if column else None,
        to_json=bool(field.path) and column is not None and not column.is_document,
    )


def embed_outputs(embed: ast.Embed, join: PlannedJoin) -> list[PlannedOutput]:
    """Say what an embed adds to its parent's row; nothing when it selects nothing itself."""
    return [PlannedEmbed(join.name, embed.name, join.is_list)] if join.read.outputs else []


def spread_outputs(catalog: Catalog, join: PlannedJoin) -> tuple[PlannedJoin, list[PlannedOutput]]:
    """Say what a spread adds to its parent's row, one value for each of its own.

    An aggregate of a to-one spread goes over the parent's rows: the spread gives it what it needs under a
    name of its own, and the parent computes it.

    Raises:
        NotImplementedYet: PGRST127, an aggregate of rows that are gathered into arrays.
    """
    if join.is_list and join.read.grouped:
        raise NotImplementedYet("Aggregates are not implemented for one-to-many or many-to-many spreads.")
    kept: list[PlannedOutput] = []
    added: list[PlannedOutput] = []
    for output in join.read.outputs:
        if isinstance(output, PlannedColumn) and output.aggregate is not None:
            field = PlannedField(join.name, f"_{len(kept)}") if output.field is not None else None
            if field is not None:
                kept.append(PlannedColumn(output.field, field.name, output.cast))
            name = output.name or output.aggregate
            added.append(PlannedColumn(field, name, None, output.aggregate, output.aggregate_cast))
            continue
        kept.append(output)
        added += (
            PlannedColumn(PlannedField(join.name, name), name, is_list=join.is_list)
            for name in _names(catalog, join.read, output)
        )
    names = tuple(name for output in kept for name in _names(catalog, join.read, output))
    read = replace(join.read, outputs=tuple(kept), grouped=False)
    return replace(join, read=read, spread=names), added


def _names(catalog: Catalog, read: ReadPlan, output: PlannedOutput) -> tuple[str, ...]:
    """Return the names that an output has in the answer."""
    match output:
        case PlannedStar():
            return tuple(catalog.relations[read.source.key].columns)
        case PlannedColumn(field=field, name=name):
            return (name or (field.name if field else "count"),)
        case PlannedEmbed(name=name):
            return (name,)


def check_geometry(plan: ReadPlan, relation: Relation) -> None:
    """Refuse features of columns that are all known, and none of them a geometry.

    Raises:
        GeometryMissing: 22023.
    """
    known = relation.columns
    for output in plan.outputs:
        if isinstance(output, PlannedStar):
            names = list(known)
        elif isinstance(output, PlannedColumn) and output.field is not None:
            names = [output.field.name]
        else:
            continue
        if any(name not in known or known[name].base_type in GEOMETRIES for name in names):
            return
    raise GeometryMissing


def with_text_embeds(plan: ReadPlan, shape: ast.Shape) -> ReadPlan:
    """Have embeds as ``jsonb`` where they are written as text among other values, in CSV and the like.

    PostgREST has them so everywhere. In a JSON document nobody sees it, and ``json`` is quicker.
    """
    if shape in ("array", "object", "geojson", "none"):
        return plan
    return replace(plan, outputs=as_jsonb(plan.outputs))


def as_jsonb(outputs: Iterable[PlannedOutput]) -> tuple[PlannedOutput, ...]:
    """Return ``outputs`` with embeds as ``jsonb``."""
    return tuple(
        replace(output, is_jsonb=True) if isinstance(output, PlannedEmbed) else output for output in outputs
    )
