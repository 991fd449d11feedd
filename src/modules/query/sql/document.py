"""Rows → the document that goes out, as one expression over all rows."""

# writing SQL is what this file is for; values are parameters and names are quoted
# ruff: noqa: S608
from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.query.catalog import MediaHandler
from modules.query.sql.fragment import qualified

if TYPE_CHECKING:
    from modules.query.ast import Shape

ROW: Final = "_row"
"""Alias of the rows; an underscore first, as no table of a project should begin."""

SOURCE: Final = "_source"
"""Name of the rows where a document reads them twice."""


def document(shape: Shape, *, strip_nulls: bool = False, value: str = ROW, is_explained: bool = False) -> str:
    """Write the document.

    Args:
        shape: What it is like.
        strip_nulls: Leave keys without a value out.
        value: What each row gives, where it is not the row itself.
        is_explained: The plan is wanted: what a project makes stands in it without what brings it to us.
    """
    if isinstance(shape, MediaHandler):
        made = _made(shape, value)
        return made if is_explained else _brought(made, is_binary=shape.is_binary)
    values = f"json_agg({value})"
    if strip_nulls:
        values = f"json_strip_nulls({values})"
    match shape:
        case "array":
            return f"coalesce({values}, '[]')"
        case "object":
            return f"coalesce({values}->0, 'null')"
        case "csv":
            return _csv()
        case "geojson":
            features = f"coalesce(json_agg(ST_AsGeoJSON({value})::json), '[]')"
            return f"json_build_object('type', 'FeatureCollection', 'features', {features})"
        case _:
            return "''"


def _made(handler: MediaHandler, value: str) -> str:
    """Have the project make it: an aggregate of the rows, or what the function gave as it is."""
    if not handler.is_aggregate:
        return f"(array_agg({value}))[1]"
    if handler.target is None or value != ROW:
        return f"{qualified(handler.function)}({value})"
    return f"{qualified(handler.function)}({value}::{qualified(handler.target)})"


def _brought(made: str, *, is_binary: bool) -> str:
    return f"coalesce(encode({made}::bytea, 'hex'), '')" if is_binary else f"coalesce({made}::text, '')"


def _csv() -> str:
    """Header and lines by PostgreSQL's own row output, which quotes as CSV does."""
    header = (
        "(SELECT coalesce(string_agg(k, ','), '') FROM"
        " (SELECT json_object_keys(pg_catalog.to_json(_first)) AS k"
        f" FROM (SELECT * FROM {SOURCE} LIMIT 1) AS _first) AS _keys)"
    )
    line = f"substring({ROW}::text, 2, length({ROW}::text) - 2)"
    return f"{header} || E'\\n' || coalesce(string_agg({line}, E'\\n'), '')"
