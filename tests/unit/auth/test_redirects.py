"""Where links may end, and what only looks like it."""

from __future__ import annotations

import pytest

from modules.auth.redirects import Redirects, compile_glob, with_fragment, with_query

REDIRECTS = Redirects(
    "https://app.example.com",
    [
        "https://*.example.org/**",
        "com.example.app://callback",
        "https://one.io/a/*/c",
        "https://{red,blue}.io/[a-c]?",
        "https://star*.io/**",
    ],
)


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.com",
        "https://APP.example.com/anything?x=1#y",
        "https://app.example.com:443/",
        "http://127.0.0.1:5173/callback",
        "http://127.8.8.8/",
        "http://[::1]:3000/",
        "https://a.example.org/x/y?z=1",
        "com.example.app://callback",
        "com.example.app://callback#fragment",
        "https://one.io/a/b/c",
        "https://red.io/bz",
        "https://starling.io/x",
    ],
)
def test_allowed(url: str) -> None:
    assert REDIRECTS.allows(url)
    assert REDIRECTS.choose(url, None) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://app.example.com/",
        "https://app.example.com:444/",
        "https://app.example.com.evil.io/",
        "https://app.example.com@evil.io/",
        "https://evil.io/https://app.example.com",
        "https://evil.io\\@app.example.com/",
        "https://evil.io\\.example.org/",
        "//app.example.com/",
        "/relative",
        "https:app.example.com",
        "https://a.b.example.org/",
        "https://evil?x.example.org/",
        "https://evil#.example.org/",
        "https://evil/.example.org/",
        "https://stara@evil.io/x",
        "https://one.io/a/b/d/c",
        "https://one.io/a/b.x/c",
        "https://green.io/a1",
        "https://red.io/d1",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "javascript:alert(1)",
        "javascript://app.example.com/%0aalert(1)",
        "data:text/html,x",
        "https://app.example.com/\r\nSet-Cookie: x",
        "https://app.example.com/ x",
        "https://app.example.com:port/",
        "https://[app.example.com/",
        "com.example.app://other",
        "https://app.example.com/" + "x" * 3000,
    ],
)
def test_refused(url: str) -> None:
    assert not REDIRECTS.allows(url)
    assert REDIRECTS.choose(url, "https://evil.io/") == "https://app.example.com"


def test_the_referrer_is_second() -> None:
    assert REDIRECTS.choose(None, "https://a.example.org/page") == "https://a.example.org/page"


def test_a_local_site_is_allowed_on_every_port() -> None:
    assert Redirects("http://localhost:3000").allows("http://localhost:5173/x")


@pytest.mark.parametrize("pattern", ["[", "{", "}", "a{b", "[]", "\\", "(", "*{a,"])
def test_every_text_is_a_glob(pattern: str) -> None:
    assert compile_glob(pattern).fullmatch("nothing of the kind") is None


def test_values_join_what_is_there() -> None:
    assert with_query("https://x.io/a?b=1#c", {"d": "2 3"}) == "https://x.io/a?b=1&d=2+3"
    assert with_fragment("https://x.io/a?b=1#c", {"d": "é"}) == "https://x.io/a?b=1#d=%C3%A9"
