from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.api_keys.opaque import (
    CHECKSUM_CHARACTERS,
    checksum,
    generate,
    is_well_formed,
    looks_opaque,
    shown_prefix,
)
from modules.api_keys.services import database_role


@pytest.mark.parametrize(("kind", "prefix"), [("publishable", "sb_publishable_"), ("secret", "sb_secret_")])
def test_a_new_key_is_well_formed_and_new(kind: str, prefix: str) -> None:
    one, two = generate(kind), generate(kind)  # type: ignore[arg-type]
    assert one != two
    assert one.startswith(prefix)
    assert is_well_formed(one)
    assert looks_opaque(one)
    assert one.startswith(shown_prefix(one))
    assert len(shown_prefix(one)) == len(prefix) + 6


@given(st.integers(min_value=0, max_value=48), st.sampled_from("0aZ_-é"))
def test_a_typing_error_is_noticed(position: int, character: str) -> None:
    key = "sb_secret_0123456789abcdefghijABCDEFGHIJ01_" + checksum(
        "sb_secret_0123456789abcdefghijABCDEFGHIJ01"
    )
    assert is_well_formed(key)
    changed = key[:position] + character + key[position + 1 :]
    assert is_well_formed(changed) is (changed == key)


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    assert not is_well_formed(text)
    assert len(checksum(text)) == CHECKSUM_CHARACTERS


@pytest.mark.parametrize("text", ["", "sb_secret_", "sb_other_x", "eyJ.x.y", "Sb_secret_x"])
def test_what_is_no_key(text: str) -> None:
    assert not is_well_formed(text)


@pytest.mark.parametrize(
    ("kind", "permissions", "role"),
    [
        ("secret", ("*",), "service_role"),
        ("secret", ("api_keys.keys:read",), "anon"),
        ("secret", (), "anon"),
        ("publishable", ("*",), "anon"),
    ],
)
def test_only_an_unlimited_secret_key_gets_past_row_security(
    kind: str, permissions: tuple[str, ...], role: str
) -> None:
    assert database_role(kind, permissions) == role
