"""Where we do not go, in every spelling."""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monohull.kernel.addresses import is_public, unwrap
from monohull.kernel.outbound import Destinations, OutboundRefused, destinations

INSIDE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2606:4700::5efe:7f00:1",
    "2606:4700::200:5efe:10.0.0.1",
    "3fff::1",
    "4000::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
OUTSIDE = [
    "1.1.1.1",
    "93.184.216.34",
    "172.32.0.1",
    "2606:4700::1111",
    "::ffff:1.1.1.1",
    "64:ff9b::101:101",
    "2002:101:101::1",
]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_of_the_inside_is_not_reached(address: str) -> None:
    with pytest.raises(OutboundRefused) as caught:
        Destinations().check_addresses("example.com", [address])
    assert caught.value.reason == "address"
    assert address not in str(caught.value), "who gave us the name must not learn what it is here"


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_of_the_internet_is_reached(address: str) -> None:
    assert Destinations().check_addresses("example.com", [address]) == (address,)


def test_one_bad_answer_spoils_all() -> None:
    with pytest.raises(OutboundRefused, match="not on the public internet"):
        Destinations().check_addresses("example.com", ["1.1.1.1", "10.0.0.1"])


@pytest.mark.parametrize("answers", [[], ["not an address"]])
def test_answers_that_are_none(answers: list[str]) -> None:
    with pytest.raises(OutboundRefused):
        Destinations().check_addresses("example.com", answers)


@given(st.ip_addresses(v=4))
def test_wrapping_changes_nothing(inner: IPv4Address) -> None:
    number = int(inner)
    forms = (
        IPv6Address(0xFFFF_0000_0000 | number),
        IPv6Address((0x64_FF9B << 96) | number),
        IPv6Address((0x2002 << 112) | (number << 80)),
        IPv6Address((0x2606_4700 << 96) | (0x5EFE << 32) | number),
    )
    for form in forms:
        assert unwrap(form) == inner
        assert is_public(unwrap(form)) == is_public(inner)


@given(st.ip_addresses())
def test_every_address_is_judged(address: IPv4Address | IPv6Address) -> None:
    if is_public(address):
        assert address.is_global
        assert not address.is_private
        assert not address.is_multicast


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "scheme"),
        ("example.com/x", "scheme"),
        ("//example.com", "scheme"),
        ("ftp://example.com", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://example.com", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("https://user:password@example.com", "credentials"),
        ("https://user@example.com", "credentials"),
        ("https://example.com@127.0.0.1", "credentials"),
        ("https://", "host"),
        ("https:///path", "host"),
        ("https://exa mple.com", "host"),
        ("https://example.com\r\n.evil.com", "url"),
        ("https://example.com:99999", "port"),
        ("https://example.com:0", "port"),
        ("https://example.com:x", "url"),
        ("https://[::1", "url"),
        ("https://" + "a" * 9000, "url"),
        ("https://-example.com", "host"),
        ("https://example..com", "host"),
        ("https://127%2e0.0.1", "host"),
        ("http://127.0.0.1", "address"),
        ("http://127.0.0.1.", "address"),
        ("http://2130706433", "host"),
        ("http://0x7f000001", "host"),
        ("http://0x7f.0.0.1", "host"),
        ("http://0177.0.0.1", "url"),
        ("http://127.1", "host"),
        ("http://0", "host"),
        ("http://0x", "host"),
        ("http://example.0x7f", "host"),
        ("http://999.1.1.1", "url"),
        ("http://[::1]", "address"),
        ("http://[::ffff:7f00:1]", "address"),
        ("http://[fe80::1%25eth0]", "host"),
        ("http://①②⑦.⓪.⓪.①", "url"),
        ("http://127。0。0。1", "address"),
        ("http://169.254.169.254/latest/meta-data", "address"),
    ],
)
def test_a_url_that_is_refused_unasked(url: str, reason: str) -> None:
    with pytest.raises(OutboundRefused) as caught:
        Destinations().check_url(url)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "HTTP://EXAMPLE.com:8080/a?b#c",
        "https://exa_mple.com.",
        "https://bücher.example",
        "https://1.1.1.1/",
        "https://[2606:4700::1111]:8443/",
        "https://3com.example",
    ],
)
def test_a_url_that_may_be_tried(url: str) -> None:
    assert Destinations().check_url(url).host


@given(st.text(max_size=80))
def test_no_url_raises_anything_else(rest: str) -> None:
    for scheme in ("", "http://", "https://[", "http://a@"):
        with contextlib.suppress(OutboundRefused):
            Destinations().check_url(scheme + rest)


class TestAllowed:
    def test_networks_and_hosts_open_what_is_private(self) -> None:
        allowed = destinations(["10.1.0.0/16", "127.0.0.1", "::1", "Hooks.Internal."])
        assert allowed.check_addresses("x", ["10.1.2.3"])
        assert allowed.check_addresses("x", ["::ffff:10.1.2.3"])
        assert allowed.check_addresses("hooks.internal", ["192.168.0.1"])
        assert allowed.check_url("http://127.0.0.1:9000/").host
        assert allowed.check_url("http://[::1]:9000/").host
        for host, address in (("x", "10.2.0.1"), ("other.internal", "192.168.0.1")):
            with pytest.raises(OutboundRefused):
                allowed.check_addresses(host, [address])

    def test_ports(self) -> None:
        allowed = destinations(ports=[443, 8443])
        assert allowed.check_url("https://example.com").host
        assert allowed.check_url("https://example.com:8443").host
        for url in ("http://example.com", "https://example.com:22"):
            with pytest.raises(OutboundRefused) as caught:
                allowed.check_url(url)
            assert caught.value.reason == "port"

    @pytest.mark.parametrize("entry", ["10.0.0.1/8", "10.0.0.0/33", "256.1.1.1", "a b", "", "*.example.com"])
    def test_an_entry_that_is_neither_is_refused(self, entry: str) -> None:
        with pytest.raises(ValueError, match="neither a network"):
            destinations([entry])
