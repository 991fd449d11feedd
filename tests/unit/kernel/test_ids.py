"""Identifiers: order, entropy, alphabet."""

from __future__ import annotations

import hashlib
import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monohull.kernel import ids


def test_uuid7_is_the_standard_librarys_type_of_version_7() -> None:
    made = ids.uuid7()
    assert type(made) is UUID
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"


def test_uuid7_only_grows_within_a_process() -> None:
    made = [ids.uuid7() for _ in range(10_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


@pytest.mark.parametrize(("size", "characters"), [(16, 22), (32, 43), (48, 64)])
def test_a_token_is_url_safe_and_as_long_as_asked(size: int, characters: int) -> None:
    made = ids.token(size)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", made)
    assert len(made) == characters
    assert ids.token(size) != made


def test_a_token_that_could_be_searched_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 bytes, not 8"):
        ids.token(8)


@given(st.text())
def test_the_hash_is_sha256_in_hex(token: str) -> None:
    assert ids.hash_token(token) == hashlib.sha256(token.encode()).hexdigest()


def test_a_request_id_is_short_and_fits_a_header() -> None:
    made = {ids.request_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{16}", each) for each in made)
