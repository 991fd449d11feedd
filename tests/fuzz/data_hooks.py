"""What of the data API no JSON Schema can say, done to what schemathesis makes up before it is sent.

    5.0              is an integer to JSON Schema, and none to PostgreSQL
    [{a}, {a, b}]    rows of one insert have the same keys, unless ``columns`` names them
    PUT ?id=eq.1     has the same key in its body
    cursor=AQx       is signed, which nobody can make up, and stands for an offset
    +23:59           is no time zone to PostgreSQL, which has them up to 15:59

Only requests that are meant to fit are changed.
"""

from __future__ import annotations

import re
from typing import Any, Final

import schemathesis
from schemathesis.generation import GenerationMode

_FAR_ZONE: Final = re.compile(r"(T\d\d:\d\d:\d\d(?:\.\d+)?)[+-](?:1[4-9]|2\d):\d\d$")


@schemathesis.hook
def before_call(context: Any, case: Any, **kwargs: Any) -> None:
    del context, kwargs
    meta = case.meta
    if meta is None or meta.generation.mode != GenerationMode.POSITIVE:
        return
    case.query = whole(case.query)
    case.body = whole(case.body)
    begin_pages(case)
    rows = case.body
    if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
        case.body = [row for row in rows if row.keys() == rows[0].keys()]
    if case.method == "PUT" and isinstance(case.body, dict):
        for name, value in case.query.items():
            if name in case.body and str(value).startswith("eq."):
                case.query[name] = f"eq.{case.body[name]}"


def begin_pages(case: Any) -> None:
    """Have requests for a page ask for the first one."""
    headers = case.headers or {}
    if "cursor" not in case.query and "Cursor" not in headers:
        return
    if "cursor" in case.query:
        case.query = {**{name: one for name, one in case.query.items() if name != "offset"}, "cursor": ""}
    if "Cursor" in headers:
        case.query = {name: one for name, one in case.query.items() if name != "offset"}
        case.headers["Cursor"] = ""
    case.headers.pop("Range", None)


def whole(value: Any) -> Any:
    """Return ``value`` with its whole numbers written without a point, and no far time zones."""
    if isinstance(value, str):
        return _FAR_ZONE.sub(r"\1Z", value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: whole(one) for name, one in value.items()}
    return [whole(one) for one in value] if isinstance(value, list) else value
