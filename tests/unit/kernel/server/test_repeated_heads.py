"""What differs from the request before on a connection: the same as if it were looked for without one."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from monohull.kernel.server.repeats import MAX_QUERY_BYTES, Repeats

PARTS = st.one_of(
    st.binary(max_size=6),
    st.sampled_from(
        [
            b"GET /a",
            b"GET /a?",
            b"?",
            b"b=c",
            b" HTTP/1.1\r\n",
            b"Host: d\r\n\r\n",
            b"POST /a?",
            b"\r\n",
            b" ",
            b"#",
        ]
    ),
)
PLAIN = b"GET /a?b=c HTTP/1.1\r\nHost: d\r\n\r\n"
DATA = st.lists(PARTS, max_size=7).map(b"".join)


@given(first=st.one_of(st.just(PLAIN), DATA), second=DATA)
@example(first=PLAIN, second=PLAIN.replace(b"b=c", b""))
@example(first=PLAIN, second=PLAIN.replace(b"b=c", b"d?e"))
@example(first=PLAIN, second=PLAIN.replace(b"b=c", b"b c"))
@example(first=PLAIN, second=PLAIN.replace(b"?b=c", b""))
@example(first=PLAIN, second=PLAIN.replace(b"b=c", b"b=c HTTP/1.1\r\nX: y"))
@example(first=PLAIN, second=PLAIN + PLAIN)
@example(first=b"GET /a?", second=b"GET /a?")
def test_what_differs_is_what_would_be_found_without(first: bytes, second: bytes) -> None:
    known = Repeats.take_apart("::1", first)
    if known is None:
        return
    key, _ = known
    part = Repeats.find_part(key, second)
    assert part is None or Repeats.take_apart("::1", second) == (key, part)


@given(st.binary(min_size=1, max_size=40).map(lambda some: bytes(0x21 + byte % 0x5E for byte in some)))
def test_queries_are_found(query: bytes) -> None:
    found = Repeats.take_apart("::1", PLAIN)
    assert found is not None
    part = Repeats.find_part(found[0], PLAIN.replace(b"b=c", query))
    assert part == (None if b"#" in query else query)


def test_a_long_query_is_looked_for_without() -> None:
    found = Repeats.take_apart("::1", PLAIN)
    assert found is not None
    assert Repeats.find_part(found[0], PLAIN.replace(b"b=c", b"x" * MAX_QUERY_BYTES)) is None
