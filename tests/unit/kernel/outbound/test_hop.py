"""What a caller may send, and what a redirect makes of it."""

from __future__ import annotations

import pytest

from monohull.kernel.outbound import OutboundRefused
from monohull.kernel.outbound.hop import Hop

HEADERS = {
    "Authorization": "Bearer t",
    "X-Signature": "s",
    "Content-Type": "application/json",
    "Accept": "*/*",
}
POST = Hop("POST", "https://a.example/x/y", HEADERS, b"{}")


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "get", "", "GET /", "GET\r\n"])
def test_a_method_that_is_not_sent(method: str) -> None:
    with pytest.raises(OutboundRefused) as caught:
        Hop(method, "https://a.example", {}, b"").check(10)
    assert caught.value.reason == "method"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Host", "internal"),
        ("content-length", "5"),
        ("Transfer-Encoding", "chunked"),
        ("X-A", "a\r\nX-B: b"),
        ("X-A", "é"),
        ("X A", "a"),
        ("", "a"),
        ("X-A", "a" * 9000),
    ],
)
def test_a_header_that_is_not_sent(name: str, value: str) -> None:
    with pytest.raises(OutboundRefused) as caught:
        Hop("GET", "https://a.example", {name: value}, b"").check(10)
    assert caught.value.reason == "header"


def test_a_body_above_the_limit() -> None:
    POST.check(2)
    with pytest.raises(OutboundRefused) as caught:
        POST.check(1)
    assert caught.value.reason == "request_too_large"


@pytest.mark.parametrize(
    ("status", "method", "after"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "PUT", "GET"),
        (307, "POST", "POST"),
        (308, "PATCH", "PATCH"),
        (301, "HEAD", "HEAD"),
    ],
)
def test_what_becomes_of_the_method(status: int, method: str, after: str) -> None:
    hop = Hop(method, POST.url, HEADERS, b"{}").redirected(status, "../z?q=1")
    assert (hop.method, hop.url) == (after, "https://a.example/z?q=1")
    assert hop.body == (b"" if after == "GET" else b"{}")
    assert ("Content-Type" in hop.headers) is (after != "GET")
    assert hop.headers["Authorization"] == "Bearer t"


@pytest.mark.parametrize("location", ["https://b.example/", "https://a.example:8443/", "//a.example.evil/"])
def test_secrets_stay_with_their_origin(location: str) -> None:
    assert set(POST.redirected(307, location).headers) == {"Content-Type", "Accept"}


@pytest.mark.parametrize(
    ("location", "reason"),
    [("http://a.example/", "downgrade"), ("file:///etc/passwd", "downgrade"), ("https://b.example:x", "url")],
)
def test_a_redirect_that_is_not_followed(location: str, reason: str) -> None:
    with pytest.raises(OutboundRefused) as caught:
        POST.redirected(302, location)
    assert caught.value.reason == reason
