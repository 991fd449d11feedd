"""Which origins may read which answers."""

from __future__ import annotations

import pytest

from monohull.kernel.cors import Cors, is_preflight

ORIGIN = b"https://app.example.com"


def value(headers: list[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    return dict(headers).get(name)


@pytest.mark.parametrize(
    ("origins", "origin", "allowed", "credentials"),
    [
        (("*",), ORIGIN, b"*", None),
        (("https://app.example.com",), ORIGIN, ORIGIN, b"true"),
        (("*", "https://app.example.com"), ORIGIN, ORIGIN, b"true"),
        (("https://other.example.com",), ORIGIN, None, None),
        ((), ORIGIN, None, None),
        (("*",), None, None, None),
        (("https://app.example.com",), b"https://app.example.com.evil.test", None, None),
        (("https://app.example.com",), b"null", None, None),
    ],
)
def test_origin(
    origins: tuple[str, ...], origin: bytes | None, allowed: bytes | None, credentials: bytes | None
) -> None:
    headers = Cors(origins).headers(origin)
    assert value(headers, b"access-control-allow-origin") == allowed
    assert value(headers, b"access-control-allow-credentials") == credentials


def test_an_answer_that_depends_on_the_origin_says_so_to_caches() -> None:
    assert value(Cors(("https://a.test",)).headers(b"https://b.test"), b"vary") == b"Origin"
    assert value(Cors(("https://a.test",)).headers(b"https://a.test"), b"vary") == b"Origin"


def test_preflight_lists_methods_and_echoes_the_headers_that_were_asked_for() -> None:
    headers = Cors(("*",)).preflight(
        [(b"origin", ORIGIN), (b"access-control-request-headers", b"x-own, apikey")]
    )
    assert value(headers, b"access-control-allow-headers") == b"x-own, apikey"
    assert b"PATCH" in (value(headers, b"access-control-allow-methods") or b"")
    assert value(headers, b"access-control-max-age") == b"86400"


def test_preflight_of_a_stranger_allows_nothing() -> None:
    headers = Cors(("https://other.test",)).preflight([(b"origin", ORIGIN)])
    assert headers == [(b"vary", b"Origin")]


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("OPTIONS", [(b"access-control-request-method", b"POST")], True),
        ("OPTIONS", [], False),
        ("GET", [(b"access-control-request-method", b"POST")], False),
    ],
)
def test_is_preflight(method: str, headers: list[tuple[bytes, bytes]], expected: bool) -> None:
    assert is_preflight(method, headers) is expected
