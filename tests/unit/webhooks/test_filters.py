"""Conditions on payloads."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from modules.webhooks.dtos import Condition
from modules.webhooks.filters import holds

PAYLOAD = {
    "type": "UPDATE",
    "record": {"status": "paid", "total": 12.5, "flag": True, "none": None, "lines": [{"sku": "a"}]},
    "old_record": None,
}


@pytest.mark.parametrize(
    ("field", "op", "value", "result"),
    [
        ("type", "eq", "UPDATE", True), ("type", "eq", "update", False), ("record.total", "eq", 12.5, True),
        ("record.flag", "eq", True, True), ("record.flag", "eq", 1, False), ("record.none", "eq", None, True),
        ("record.gone", "eq", None, False), ("record.gone", "ne", 1, True), ("type", "ne", "UPDATE", False),
        ("old_record.status", "eq", "paid", False), ("record.lines.0.sku", "eq", "a", True),
        ("record.lines.1.sku", "exists", False, True), ("record.none", "exists", True, True),
        ("record.status", "in", ["open", "paid"], True), ("record.flag", "in", [1], False),
        ("record.total", "gt", 12, True),
        ("record.total", "gte", 12.5, True), ("record.total", "lt", 12, False),
        ("record.total", "lte", 12.5, True),
        ("record.status", "gt", 1, False), ("record.flag", "gte", 0, False),
        ("record.status", "gt", "p", True), ("record.status", "starts_with", "pa", True),
        ("record.total", "starts_with", "1", False), ("record", "eq", {"a": 1}, False),
    ],
    ids=str,
)  # fmt: skip
def test_a_condition(field: str, op: Any, value: Any, result: bool) -> None:
    assert holds([Condition(field=field, op=op, value=value)], PAYLOAD) is result


@pytest.mark.parametrize("payload", [None, 1, "text", [], {"record": [1]}], ids=str)
def test_whatever_the_payload_is(payload: Any) -> None:
    for op, value in (("eq", 1), ("in", [1]), ("gt", 1), ("starts_with", "a"), ("exists", True)):
        assert not holds([Condition(field="record.a.b", op=op, value=value)], payload)  # type: ignore[arg-type]
    assert holds([Condition(field="record.a", op="ne", value=1)], payload)


@pytest.mark.parametrize(
    "body", [b'{"field":"a","op":"in","value":1}', b'{"field":"a","op":"exists","value":1}',
             b'{"field":"a..b"}', b'{"field":""}', b'{"field":"a","op":"like"}',
             b'{"field":"a","value":"\\u0000"}', b'{"field":"a","op":"in","value":["\\u0000"]}',
             b'{"field":"a","value":"' + b"x" * 1001 + b'"}', b'{"field":"a","value":{}}',
             b'{"field":"a","value":[1]}', b'{"field":"a","op":"in","value":[[1]]}',
             b'{"field":"a","op":"in","value":[' + b"1," * 100 + b"1]}",
             b'{"field":"a","value":' + b"9" * 5000 + b"}"],
    ids=range(13),
)  # fmt: skip
def test_what_is_no_condition(body: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=Condition)
