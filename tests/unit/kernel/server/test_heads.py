"""Heads of requests: what is read, and that nothing which two readers could read in two ways is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monohull.kernel.errors import InvalidRequest
from monohull.kernel.server.heads import (
    MAX_KEPT,
    MAX_KEPT_BYTES,
    MAX_KEPT_TARGET_BYTES,
    MAX_KEPT_TARGETS,
    MAX_LINES,
    HeadTooLarge,
    KnownLines,
    VersionUnknown,
    read_lines,
    read_target,
)


@pytest.mark.parametrize(
    ("line", "path", "raw_path", "query"),
    [
        (b"GET / HTTP/1.1", "/", b"/", b""),
        (b"GET /a%20b?c=%20 HTTP/1.1", "/a b", b"/a%20b", b"c=%20"),
        (b"GET /a?b?c HTTP/1.1", "/a", b"/a", b"b?c"),
        (b"GET /a? HTTP/1.1", "/a", b"/a", b""),
        (b"GET http://example.com:80/a?b HTTP/1.1", "/a", b"/a", b"b"),
        (b"GET HTTPS://[::1]:80/?b HTTP/1.1", "/", b"/", b"b"),
        (b"GET /a#b HTTP/1.1", "/a", b"/a", b""),
        (b"GET /%ff HTTP/1.1", "/\ufffd", b"/%ff", b""),
        ("GET /ä HTTP/1.1".encode(), "/ä", "/ä".encode(), b""),
        (b"OPTIONS * HTTP/1.1", "*", b"*", b""),
    ],
)
def test_request_lines(line: bytes, path: str, raw_path: bytes, query: bytes) -> None:
    target = read_target(line)
    assert (target.path, target.raw_path, target.query, target.is_newer) == (path, raw_path, query, True)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET",
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b" GET / HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"GET /\n HTTP/1.1",
        b"GET a HTTP/1.1",
        b"GET * HTTP/1.1",
        b"OPTIONS *a HTTP/1.1",
        b"OPTIONS *?a HTTP/1.1",
        b"OPTIONS http://example.com* HTTP/1.1",
        b"GET ?a HTTP/1.1",
        b"GET http://example.com HTTP/1.1",
        b"GET http://example.com?a HTTP/1.1",
        b"GET http:///a HTTP/1.1",
        b"GET http://user@example.com/ HTTP/1.1",
        b"GET http://user:password@example.com/ HTTP/1.1",
        b"CONNECT example.com:443 HTTP/1.1",
        b"G(T / HTTP/1.1",
        b"GET / http/1.1",
        b"GET / HTTP/1.10",
        b"GET ftp://example.com/ HTTP/1.1",
    ],
)
def test_what_is_no_request_line(line: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_target(line)


def test_the_authority_of_a_whole_url() -> None:
    known = KnownLines()
    for _ in range(2):
        assert known.read_target(b"GET http://b.test:80/a HTTP/1.1").authority == b"b.test:80"
        assert known.read_target(b"GET /a HTTP/1.1").authority is None
        assert known.read_target(b"GET http://c.test/a?b HTTP/1.1").authority == b"c.test"
        assert known.read_target(b"GET /a?b HTTP/1.1").authority is None


@pytest.mark.parametrize(
    "host", [b"", b"a", b"a_b.test:8000", b"127.0.0.1:80", b"[::1]:80", b"xn--4ca.test", b"%41"]
)
def test_hosts(host: bytes) -> None:
    assert read_lines(b"Host: " + host + b"\r\n").pairs == [(b"host", host)]


def test_versions() -> None:
    assert not read_target(b"GET / HTTP/1.0").is_newer
    for version in (b"2.0", b"0.9", b"3.0"):
        with pytest.raises(VersionUnknown):
            read_target(b"GET / HTTP/" + version)


def test_header_lines() -> None:
    lines = read_lines(
        b"Host: a\r\nX-A:b\r\nX-A: \t c d \t\r\nX-Empty:\r\nConnection: x\r\nconnection: Close\r\n"
    )
    assert lines.pairs == [
        (b"host", b"a"),
        (b"x-a", b"b"),
        (b"x-a", b"c d"),
        (b"x-empty", b""),
        (b"connection", b"x"),
        (b"connection", b"Close"),
    ]
    assert (lines.has_host, lines.length, lines.keeps, lines.expects) == (True, 0, False, False)
    assert read_lines(b"Connection: keep-alive\r\n").keeps is True
    assert read_lines(b"Connection: upgrade\r\n").keeps is None
    assert read_lines(b"Expect: 100-Continue\r\n").expects
    assert read_lines(b"Content-Length: 12\r\n").length == 12
    assert read_lines(b"Transfer-Encoding: Chunked\r\n").length is None
    assert read_lines(b"").pairs == []


@pytest.mark.parametrize(
    "block",
    [
        b"X\r\n",
        b": b\r\n",
        b"X : b\r\n",
        b" X: b\r\n",
        b"X: b\r\n c\r\n",
        b"X: a\nY: b\r\n",
        b"X: a\rY: b\r\n",
        b"X: a\0b\r\n",
        b"X\xff: a\r\n",
        b"Host: a\r\nHost: a\r\n",
        b"Host: a b\r\n",
        b"Host: a/b\r\n",
        b"Host: user@a\r\n",
        b"Host: a?b\r\n",
        b"Host: \xc3\xa4\r\n",
        b"Content-Length: 3\r\nContent-Length: 3\r\n",
        b"Content-Length: 3, 3\r\n",
        b"Content-Length: +3\r\n",
        b"Content-Length: -3\r\n",
        b"Content-Length: \r\n",
        b"Content-Length: 0x3\r\n",
        b"Content-Length: 9999999999999999999\r\n",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: ٣\r\n".encode(),
    ],
)
def test_what_could_be_read_in_two_ways(block: bytes) -> None:
    known = KnownLines()
    for _ in range(2):
        with pytest.raises(InvalidRequest):
            known.read(block)
    assert len(known) == 0


@pytest.mark.parametrize(
    "coding", [b"gzip", b"gzip, chunked", b"chunked, chunked", b"identity", b"\x0bchunked"]
)
def test_other_codings(coding: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_lines(b"Transfer-Encoding: " + coding + b"\r\n")


def test_many_lines() -> None:
    assert len(read_lines(b"X: 1\r\n" * MAX_LINES).pairs) == MAX_LINES
    with pytest.raises(HeadTooLarge):
        read_lines(b"X: 1\r\n" * (MAX_LINES + 1))


def test_lines_are_kept_and_not_for_ever() -> None:
    known = KnownLines()
    assert known.read(b"Host: a\r\n") is known.read(b"Host: a\r\n")
    known.read(b"X-Request-Id: a\r\n")
    known.read(b"Traceparent: a\r\n")
    known.read(b"X: " + b"a" * MAX_KEPT_BYTES + b"\r\n")
    assert len(known) == 1
    for number in range(MAX_KEPT + 10):
        known.read(b"X: %d\r\n" % number)
    assert len(known) == MAX_KEPT


_FIRST_LINES = st.builds(
    lambda method, path, rest: f"{method} {path}{rest}".encode(),
    st.sampled_from(["GET", "POST", "OPTIONS", "G\tT"]),
    st.sampled_from(["/a", "/a%20b", "/a#b", "*", "http://x.test/a", "/a/b", "a", "/a b"]),
    st.one_of(
        st.text(alphabet="?#&= .ä%\x7f\x00a/", max_size=8).map(lambda text: f"?{text} HTTP/1.1"),
        st.sampled_from(
            ["?x=1 HTTP/1.1", "?x=1 HTTP/1.0", "?x=1 HTTP/2.0", "? HTTP/1.1", " HTTP/1.1", "?x=1"]
        ),
    ),
)


@given(st.lists(_FIRST_LINES, max_size=20))
def test_a_request_line_whose_beginning_is_known_is_read_as_a_new_one(lines: list[bytes]) -> None:
    known = KnownLines()
    for line in lines:
        try:
            expected: object = read_target(line)
        except (InvalidRequest, VersionUnknown) as error:
            expected = type(error)
        try:
            found: object = known.read_target(line)
        except (InvalidRequest, VersionUnknown) as error:
            found = type(error)
        assert found == expected


def test_beginnings_of_request_lines_are_kept_and_not_for_ever() -> None:
    known = KnownLines()
    for number in range(MAX_KEPT_TARGETS + 10):
        known.read_target(b"GET /%d?a=b HTTP/1.1" % number)
    known.read_target(b"GET /" + b"a" * MAX_KEPT_TARGET_BYTES + b"?a=b HTTP/1.1")
    assert len(known._targets) == MAX_KEPT_TARGETS
