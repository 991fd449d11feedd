"""Heads that cost a reader which tries several ways minutes; here the tests end at all."""

from __future__ import annotations

import pytest

from monohull.kernel.errors import InvalidRequest
from monohull.kernel.server.heads import MAX_HEAD_BYTES, read_lines, read_target


@pytest.mark.parametrize(
    "block",
    [
        b"X:" + b" " * MAX_HEAD_BYTES + b"\x01\r\n",
        b"X: a" + b" \t" * (MAX_HEAD_BYTES // 2) + b"\x01\r\n",
        b"X" * MAX_HEAD_BYTES + b"\r\n",
        b"X" * MAX_HEAD_BYTES + b" : a\r\n",
    ],
)
def test_lines(block: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_lines(block)


def test_a_line_of_spaces() -> None:
    inside = b"a" + b" \t" * (MAX_HEAD_BYTES // 2) + b"b"
    assert read_lines(b"X:  \t" + inside + b"\t  \r\n").pairs == [(b"x", inside)]
    assert read_lines(b"X:" + b" " * MAX_HEAD_BYTES + b"\r\n").pairs == [(b"x", b"")]


@pytest.mark.parametrize(
    "target",
    [
        b"http://" + b"*" * MAX_HEAD_BYTES + b"\x01",
        b"http://" + b"*" * MAX_HEAD_BYTES,
        b"http://a*",
        b"/" * MAX_HEAD_BYTES + b"\x01",
        b"/" + b"?" * MAX_HEAD_BYTES + b"\x01",
        b"/" + b"#" * MAX_HEAD_BYTES + b"\x01",
    ],
)
def test_targets(target: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_target(b"OPTIONS " + target + b" HTTP/1.1")
