"""What is known of requests but for their query is what would be read of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monohull.kernel.server.heads import read_lines, read_target
from monohull.kernel.server.repeats import MAX_QUERY_BYTES, MAX_REPEAT_BYTES, Repeats

HEADERS = b"\r\nHost: a\r\nApikey: k?x=y\r\n\r\n"
KNOWN = b"GET /rest/v1/things?id=eq.1 HTTP/1.1" + HEADERS


def key_of(data: bytes) -> tuple[object, bytes] | None:
    return Repeats.take_apart("::1", data)


@given(st.one_of(st.binary(max_size=40), st.from_regex(rb"[ -~]{0,40}", fullmatch=True)))
def test_what_has_the_key_of_another_differs_in_its_query_alone(query: bytes) -> None:
    known = key_of(KNOWN)
    assert known is not None
    data = KNOWN.replace(b"id=eq.1", query)
    parts = key_of(data)
    if parts is None or parts[0] != known[0]:
        return
    head, _, rest = data.partition(b"\r\n\r\n")
    line, _, lines = head.partition(b"\r\n")
    assert rest == b"", "there is a second request in it"
    target, before = read_target(line), read_target(KNOWN.partition(b"\r\n")[0])
    assert (target.method, target.path, target.raw_path) == (before.method, before.path, before.raw_path)
    assert target.query == parts[1]
    assert read_lines(lines + b"\r\n").pairs == read_lines(b"Host: a\r\nApikey: k?x=y\r\n").pairs


@given(st.from_regex(rb"[a-z=.&%0-9?/]{1,40}", fullmatch=True))
def test_usual_queries_have_it(query: bytes) -> None:
    assert key_of(KNOWN.replace(b"id=eq.1", query)) == (key_of(KNOWN)[0], query)  # type: ignore[index]


@given(st.binary(max_size=200), st.integers(0, len(KNOWN)))
def test_whatever_comes_is_no_reason_to_fail(noise: bytes, at: int) -> None:
    data = KNOWN[:at] + noise + KNOWN[at:]
    parts = key_of(data)
    if parts is not None and noise and parts[0] == key_of(KNOWN)[0]:  # type: ignore[index]
        assert read_target(data.partition(b"\r\n")[0]).path == "/rest/v1/things"


def test_what_is_too_long_is_not_remembered() -> None:
    kept = Repeats()
    long = KNOWN.replace(b"k?", b"k" * MAX_REPEAT_BYTES)
    parts = kept.take_apart(None, long)
    assert parts is not None
    kept.remember(parts[0], lambda *_: False)
    assert len(kept) == 0
    assert kept.take_apart(None, KNOWN.replace(b"eq.1", b"1" * (MAX_QUERY_BYTES + MAX_REPEAT_BYTES))) is None
