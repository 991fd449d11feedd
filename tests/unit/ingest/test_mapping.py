from __future__ import annotations

from typing import Any

import pytest

from modules.ingest.errors import Unusable
from modules.ingest.mapping import arguments_of, row_of
from modules.ingest.messages import Message, fitted


def message(body: str | bytes, **fields: Any) -> Message:
    content = body.encode() if isinstance(body, str) else body
    return Message(**{"id": "m1", "place": "orders/0/7", "body": content} | fields)


@pytest.mark.parametrize(
    ("body", "columns", "expected"),
    [
        ('{"a": 1.10, "b": {"c": [1, 2]}}', {"x": "a", "y": "b.c"}, b'{"x":1.10,"y":[1, 2]}'),
        (
            '{"a": 12345678901234567890123.45678901234567890}',
            {"x": "a"},
            b'{"x":12345678901234567890123.45678901234567890}',
        ),
        ('{"a": 123456789012345678901234567890}', {"x": "a"}, b'{"x":123456789012345678901234567890}'),
        ('{"a.b": 1, "a": {"b": 2}}', {"x": "a.b"}, b'{"x":1}'),
        ('{"a": null}', {"x": "a", "y": "b", "z": "a.b"}, b'{"x":null}'),
        (" [1, 2] ", {"x": "$"}, b'{"x": [1, 2] }'),
        ("{}", {"x": "$id", "y": "$place", "z": "$key"}, b'{"x":"m1","y":"orders/0/7","z":null}'),
        ("no json", {"x": "$headers"}, b'{"x":{"h":"1"}}'),
    ],
    ids=["paths", "decimals", "integers", "whole name first", "absent", "array", "marks", "headers"],
)
def test_what_columns_get(body: str, columns: dict[str, str], expected: bytes) -> None:
    assert row_of(message(body, headers={"h": "1"}), columns).values == expected


@pytest.mark.parametrize(
    ("body", "columns", "reason"),
    [
        ("{", {"x": "a"}, "bad_json"),
        (b'{"a": "\xff"}', {"x": "$"}, "bad_json"),
        ("[]", {"x": "a"}, "bad_json"),
        ('{"a": NaN}', {"x": "a"}, "bad_json"),
        ("[" * 100_000, {"x": "$"}, "bad_json"),
        ('{"b": 1}', {"x": "a"}, "no_fields"),
    ],
    ids=["broken", "no UTF-8", "no object", "NaN", "deep", "no field"],
)
def test_what_no_row_can_be_made_of(body: str | bytes, columns: dict[str, str], reason: str) -> None:
    with pytest.raises(Unusable) as refused:
        row_of(message(body), columns)
    assert refused.value.reason == reason


def test_arguments() -> None:
    assert arguments_of(message('{"a": 1}'), None) == {"a": 1}
    assert arguments_of(message("[1]"), "items") == {"items": [1]}
    with pytest.raises(Unusable):
        arguments_of(message("[1]"), None)


def test_ids_fit_into_an_index() -> None:
    assert fitted("orders/0/7") == "orders/0/7"
    assert fitted("a\0b") == "a\N{REPLACEMENT CHARACTER}b"
    long, other = "x" * 300, "x" * 299 + "y"
    assert fitted(long) == fitted(long) != fitted(other)
    assert len(fitted(long)) < 100
