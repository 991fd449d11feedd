"""Addresses and signatures of wallets."""

from __future__ import annotations

import pytest

from modules.auth.wallets import MessageError, base58, is_signed, parse_message


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("", b""),
        ("1", b"\x00"),
        ("11", b"\x00\x00"),
        ("2g", b"a"),
        ("StV1DL6CwTryKyV", b"hello world"),
        ("111233QC4", bytes.fromhex("000000287fb4cd")),
    ],
    ids=["empty", "zero", "zeros", "a", "words", "leading zeros"],
)
def test_base_58(text: str, raw: bytes) -> None:
    assert base58(text) == raw


def test_a_key_that_is_none_signed_nothing() -> None:
    assert not is_signed("x", "2g", b"\0" * 64)
    assert not is_signed("x", "1" * 32, b"\0" * 10)


@pytest.mark.parametrize(
    "text", ["", "x" * 100, "\n" * 100, "a b" * 40], ids=["empty", "x", "lines", "words"]
)
def test_what_is_no_message(text: str) -> None:
    with pytest.raises(MessageError):
        parse_message(text)
