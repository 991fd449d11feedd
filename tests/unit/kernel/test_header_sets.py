"""What is remembered of headers, and what must not be."""

from __future__ import annotations

from typing import Any

import pytest

from monohull.kernel.authentication import Authentication
from monohull.kernel.header_sets import MAX_SET_BYTES, MAX_SETS, HeaderSets

PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def scope(*pairs: tuple[bytes, bytes], peer: str | None = "10.0.0.1") -> dict[str, Any]:
    return {"type": "http", "headers": list(pairs), "client": None if peer is None else (peer, 1)}


@pytest.fixture
def sets() -> HeaderSets:
    return HeaderSets(Authentication())


def test_the_same_headers_are_one_set(sets: HeaderSets) -> None:
    first = sets.of(scope((b"apikey", b"key"), (b"accept", b"*/*")))
    assert sets.of(scope((b"apikey", b"key"), (b"accept", b"*/*"))) is first
    assert first.by_name == {b"apikey": b"key", b"accept": b"*/*"}
    assert (first.credentials.apikey, first.credentials.address) == ("key", "10.0.0.1")


@pytest.mark.parametrize(
    "other",
    [
        scope((b"apikey", b"other")),
        scope((b"apikey", b"key"), peer="10.0.0.2"),
        scope((b"apikey", b"key"), peer=None),
        scope((b"apikey", b"key"), (b"accept", b"*/*")),
        scope((b"authorization", b"key")),
        scope((b"apikeykey", b"")),
        scope(),
    ],
)
def test_nothing_else_is_that_set(sets: HeaderSets, other: dict[str, Any]) -> None:
    first = sets.of(scope((b"apikey", b"key")))
    assert sets.of(other) is not first


def test_repeated_headers_have_no_names(sets: HeaderSets) -> None:
    found = sets.of(scope((b"accept", b"a"), (b"accept", b"b"), (b"x-request-id", b"mine")))
    assert (found.by_name, found.has_origin, found.is_traced) == (None, True, True)
    assert found.trace().request_id == "mine"


@pytest.mark.parametrize(("name", "value"), [(b"traceparent", PARENT), (b"x-request-id", b"r1")])
def test_a_trace_of_its_own_is_followed_and_not_kept(sets: HeaderSets, name: bytes, value: bytes) -> None:
    trace = sets.of(scope((name, value))).trace()
    assert len(sets) == 0
    assert value.decode() in (trace.request_id, f"00-{trace.trace_id}-{trace.parent_id}-01")


def test_without_one_each_request_has_a_new_trace(sets: HeaderSets) -> None:
    found = sets.of(scope((b"accept", b"*/*")))
    assert len({found.trace().span_id for _ in range(1000)}) == 1000


def test_what_is_kept_has_bounds(sets: HeaderSets) -> None:
    sets.of(scope((b"accept", b"x" * MAX_SET_BYTES)))
    assert len(sets) == 0
    first = sets.of(scope((b"accept", b"0")))
    for number in range(1, MAX_SETS + 1):
        sets.of(scope((b"accept", str(number).encode())))
    assert len(sets) == MAX_SETS
    assert sets.of(scope((b"accept", b"0"))) is not first


def test_lists_are_read_too(sets: HeaderSets) -> None:
    found = sets.of({"type": "http", "headers": [[b"accept", b"*/*"]], "client": None})
    assert found.by_name == {b"accept": b"*/*"}
    assert len(sets) == 0
