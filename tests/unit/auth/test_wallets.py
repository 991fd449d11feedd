"""Addresses and signatures of wallets."""

from __future__ import annotations

import subprocess
import sys

import pytest

from modules.auth.wallets import CHAINS, MessageError, ethereum, parse_message
from modules.auth.wallets.solana import base58, is_signed


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
    for chain in CHAINS.values():
        with pytest.raises(MessageError):
            parse_message(text, chain)


def test_a_signature_of_ethereum_that_another_library_made() -> None:
    """Source: web3.js, documentation of ``web3.eth.accounts.sign``."""
    address = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"
    signature = ethereum.read_signature(
        "0xb91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd"
        "6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a0291c"
    )
    assert ethereum.is_signed("Some data", ethereum.read_address(address), signature)
    assert not ethereum.is_signed("Some date", ethereum.read_address(address), signature)
    other = signature[:64] + b"\x1b"
    assert not ethereum.is_signed("Some data", ethereum.read_address(address), other)


def test_its_libraries_are_loaded_by_who_needs_them() -> None:
    """They take 5 MB in each process."""
    code = "import sys, modules.auth.module; print({'coincurve', 'sha3'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
