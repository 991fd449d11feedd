"""URLs of Memcached, and what production says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.rest.cache.memcached_url import MemcachedAddress, MemcachedUrlError, parse_memcached_url
from modules.rest.hardening import weaknesses
from monohull.kernel.configuration import load
from tests.unit.kernel.test_hardening import GOOD


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("memcached://cache", MemcachedAddress(tls=False, hosts=(("cache", 11211),))),
        ("memcached://cache:1/", MemcachedAddress(tls=False, hosts=(("cache", 1),))),
        (
            "memcacheds://one,two:11212",
            MemcachedAddress(tls=True, hosts=(("one", 11211), ("two", 11212))),
        ),
        (
            "memcached://[::1],[fd00::7]:11212",
            MemcachedAddress(tls=False, hosts=(("::1", 11211), ("fd00::7", 11212))),
        ),
        (
            "memcached://me:p%40ss%3A%20word@cache",
            MemcachedAddress(tls=False, hosts=(("cache", 11211),), user="me", password="p@ss: word"),
        ),
        (
            "memcacheds://cache?ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem",
            MemcachedAddress(
                tls=True,
                hosts=(("cache", 11211),),
                options={"ssl_ca_certs": "/ca.pem", "ssl_certfile": "/c.pem"},
            ),
        ),
    ],
)
def test_what_a_url_says(url: str, address: MemcachedAddress) -> None:
    assert parse_memcached_url(url) == address


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://u:hidden@cache", "must start with memcached:// or memcacheds://"),
        ("hidden", "must start with"),
        ("memcached://[u:hidden", "is not a URL"),
        ("memcached://u:hidden@", "names no host"),
        ("memcached://u:hidden@cache/0", "nothing may follow the hosts"),
        ("memcached://u:hidden@cache#x", "nothing may follow the hosts"),
        ("memcached://u:hidden@cache:0", "a port that is no number from 1 to 65535"),
        ("memcached://u:hidden@cache:x", "a port that is no number"),
        ("memcached://u:hidden@cache:65536", "a port that is no number"),
        ("memcached://u:hidden@cache:", "a port that is no number"),
        ("memcached://u:hidden@:11211", "a host that cannot be read"),
        ("memcached://u:hidden@cache,cache:11211", "names a host twice"),
        ("memcached://hidden@cache", "both a user and a password, or neither"),
        ("memcached://:hidden@cache", "both a user and a password, or neither"),
        ("memcached://a%20b:hidden@cache", "has a space"),
        ("memcached://a:hidden%0d%0aflush_all@cache", "a line break"),
        (f"memcached://a:hidden{'x' * 200}@cache", "may have 200 characters each"),
        ("memcacheds://u:hidden@cache?ssl_cert_reqs=none", "an unknown option 'ssl_cert_reqs'"),
        ("memcached://u:hidden@cache?ssl_ca_certs=/ca.pem", "write memcacheds://"),
    ],
)
def test_what_cannot_be_is_refused_without_the_password(url: str, says: str) -> None:
    with pytest.raises(MemcachedUrlError) as raised:
        parse_memcached_url(url)
    assert says in str(raised.value)
    assert "hidden" not in str(raised.value)


def test_an_address_is_shown_without_its_password() -> None:
    address = parse_memcached_url("memcacheds://me:hidden@cache,[::1]")
    assert repr(address) == "MemcachedAddress(tls cache:11211, [::1]:11211)"


@pytest.mark.parametrize(
    ("name", "url", "says"),
    [
        ("MEMCACHED", "memcached://cache", None),
        ("MEMCACHED", "memcached://10.0.0.7,cache.internal", None),
        ("MEMCACHED", "memcached://u:Zr4Tn9Yb1Hc6@cache", None),
        ("MEMCACHED", "memcacheds://u:Zr4Tn9Yb1Hc6@cache.example.com", None),
        ("MEMCACHED", "memcacheds://cache.example.com?ssl_certfile=/c.pem", None),
        ("MEMCACHED", "memcached://u:changeme@cache", "tries first"),
        ("MEMCACHED", "memcached://u:Zr4Tn9Yb1Hc6@cache,cache.example.com", "write memcacheds://"),
        ("MEMCACHED", "memcacheds://8.8.8.8", "whoever reaches 8.8.8.8 may empty and fill it"),
        ("REDIS", "main", None),
        ("REDIS", "redis://cache", None),
        ("REDIS", "unix:///run/redis.sock", None),
        ("REDIS", "rediss://:Zr4Tn9Yb1Hc6@cache.example.com", None),
        ("REDIS", "redis://:redis@cache", "tries first"),
        ("REDIS", "redis://:Zr4Tn9Yb1Hc6@cache.example.com", "write rediss://"),
        ("REDIS", "rediss://cache.example.com", "add a password"),
    ],
)
def test_production_refuses_a_store_that_strangers_reach(name: str, url: str, says: str | None) -> None:
    variable = f"MONOHULL_REST_CACHE_{name}"
    environ = {**GOOD, variable: url, "MONOHULL_ENV": "development"}  # what is weak does not stop the load
    found = [
        weak
        for weak in weaknesses(load(environ, project=Path("/nowhere")).settings)
        if weak.field == f"cache_{name.lower()}"
    ]
    assert [weak.severity for weak in found] == ([] if says is None else ["refused"])
    assert says is None or says in found[0].message
