"""Every form of MONOHULL_REDIS_URL, and what is wrong with the others."""

from __future__ import annotations

from typing import Any

import pytest

from monohull.kernel.redis_url import RedisAddress, RedisUrlError, parse_redis_url

GOOD: list[tuple[str, dict[str, Any]]] = [
    ("redis://localhost", {"kind": "single", "hosts": (("localhost", 6379),)}),
    ("redis://127.0.0.1:56379/5", {"kind": "single", "hosts": (("127.0.0.1", 56379),), "db": 5}),
    ("redis://h?db=3", {"kind": "single", "hosts": (("h", 6379),), "db": 3}),
    ("redis://[::1]:7000/1", {"kind": "single", "hosts": (("::1", 7000),), "db": 1}),
    ("redis://[::1]", {"kind": "single", "hosts": (("::1", 6379),)}),
    (
        "redis://us%40er:p%2Fa%3Ass@h",
        {"kind": "single", "hosts": (("h", 6379),), "username": "us@er", "password": "p/a:ss"},
    ),
    ("redis://:only@h/", {"kind": "single", "hosts": (("h", 6379),), "password": "only"}),
    (
        "rediss://h:1?ssl_ca_certs=/ca.pem&ssl_check_hostname=false&ssl_cert_reqs=none",
        {
            "kind": "single",
            "tls": True,
            "hosts": (("h", 1),),
            "options": {
                "ssl_ca_certs": "/ca.pem",
                "ssl_check_hostname": False,
                "ssl_cert_reqs": "none",
            },
        },
    ),
    ("unix:///run/redis.sock?db=2", {"kind": "unix", "path": "/run/redis.sock", "db": 2}),
    ("unix://:pw@/run/re%20dis.sock", {"kind": "unix", "path": "/run/re dis.sock", "password": "pw"}),
    (
        "redis+sentinel://u:p@a,b:26380,[::1]/primary/4?sentinel_username=s&sentinel_password=t",
        {
            "kind": "sentinel",
            "hosts": (("a", 26379), ("b", 26380), ("::1", 26379)),
            "service": "primary",
            "db": 4,
            "username": "u",
            "password": "p",
            "sentinel_options": {"username": "s", "password": "t"},
        },
    ),
    (
        "rediss+sentinel://a/primary",
        {"kind": "sentinel", "tls": True, "hosts": (("a", 26379),), "service": "primary"},
    ),
    ("redis+cluster://a:7000,b", {"kind": "cluster", "hosts": (("a", 7000), ("b", 6379))}),
    ("rediss+cluster://a", {"kind": "cluster", "tls": True, "hosts": (("a", 6379),)}),
]

BAD: list[tuple[str, str]] = [
    ("", "must start with one of redis://"),
    ("http://h", "must start with one of redis://"),
    ("redis://", "names no host"),
    ("redis:///1", "names no host"),
    ("redis://h:hunter2", "port in the Redis URL is not a number"),
    ("redis://h:0", "not host or host:port"),
    ("redis://h:65536", "not host or host:port"),
    ("redis://:6379", "not host or host:port"),
    ("redis://h/one", "database in the Redis URL is not a number"),
    ("redis://h/-1", "database in the Redis URL is not a number"),
    ("redis://h/1/2", "more parts"),
    ("redis://h?db=x", "database in the Redis URL is not a number"),
    ("redis://h?timeout=5", "unknown option 'timeout'; known are db, sentinel_password"),
    ("rediss://h?ssl_check_hostname=maybe", "must be true or false"),
    ("rediss://h?ssl_cert_reqs=sometimes", "must be required, optional or none"),
    ("redis+sentinel://h", "needs the service's name"),
    ("redis+sentinel://h/s/1/2", "more parts"),
    ("redis+cluster://h/1", "database 0 alone"),
    ("unix://relative", "needs the socket's path"),
    ("redis://[::1", "not a URL"),
]


@pytest.mark.parametrize(("url", "expected"), GOOD)
def test_a_url_is_read(url: str, expected: dict[str, Any]) -> None:
    assert parse_redis_url(url) == RedisAddress(**expected)


@pytest.mark.parametrize(("url", "message"), BAD)
def test_a_url_that_cannot_be_read_says_what_is_wrong(url: str, message: str) -> None:
    with pytest.raises(RedisUrlError, match=message.replace("[", r"\[")) as caught:
        parse_redis_url(url)
    assert "hunter2" not in str(caught.value)


def test_no_description_shows_the_password() -> None:
    address = parse_redis_url("rediss+sentinel://u:hunter2@a,[::1]/s/1?sentinel_password=hunter2")
    assert repr(address) == "RedisAddress(sentinel+tls a:26379,[::1]:26379 db 1)"
