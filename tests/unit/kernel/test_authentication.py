"""Credentials of a scope, the client's address, and who is asked for a principal."""

from __future__ import annotations

from typing import Any

import pytest

from monohull.kernel.authentication import Authentication, Credentials
from monohull.kernel.errors import InvalidCredential
from monohull.kernel.principal import Principal, PrincipalKind


def scope(*headers: tuple[bytes, bytes], peer: str | None = "10.0.0.1", **more: Any) -> dict[str, Any]:
    client = (peer, 4711) if peer else None
    return {"type": "http", "headers": list(headers), "client": client, "query_string": b"", **more}


@pytest.mark.parametrize(
    ("header", "bearer", "has_scheme_error"),
    [
        (b"Bearer abc", "abc", False),
        (b"bearer abc", "abc", False),
        (b"Bearer  abc ", "abc", False),
        (b"Bearer ", "", False),
        (b"Basic abc", None, True),
        (b"abc", None, True),
    ],
)
def test_authorization(header: bytes, bearer: str | None, has_scheme_error: bool) -> None:
    credentials = Authentication().credentials(scope((b"authorization", header)))
    assert credentials.bearer == bearer
    assert (credentials.scheme_error is not None) is has_scheme_error


def test_apikey_of_a_websocket_may_stand_in_the_query() -> None:
    found = Authentication().credentials(scope(type="websocket", query_string=b"apikey=k1&vsn=1"))
    assert found.apikey == "k1"


def test_apikey_in_the_query_of_a_request_is_not_read() -> None:
    assert Authentication().credentials(scope(query_string=b"apikey=k1")).apikey is None


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "expected"),
    [
        ((), "10.0.0.1", "1.2.3.4", "10.0.0.1"),
        (("10.0.0.0/8",), "10.0.0.1", "1.2.3.4", "1.2.3.4"),
        (("10.0.0.0/8",), "10.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        (("10.0.0.0/8",), "10.0.0.1", "6.6.6.6, 1.2.3.4, 10.9.9.9", "1.2.3.4"),
        (("10.0.0.0/8",), "10.0.0.1", "10.0.0.7", "10.0.0.7"),
        (("10.0.0.0/8",), "10.0.0.1", "junk", "10.0.0.1"),
        (("10.0.0.0/8",), "10.0.0.1", "", "10.0.0.1"),
        (("10.0.0.0/8",), "11.0.0.1", "1.2.3.4", "11.0.0.1"),
        (("fd00::/8",), "fd00::1", "2001:db8::7", "2001:db8::7"),
        # what a socket for both kinds of addresses shows
        (("10.0.0.0/8",), "::ffff:10.0.0.1", "6.6.6.6, 1.2.3.4, ::ffff:10.9.9.9", "1.2.3.4"),
        ((), "::ffff:10.0.0.1", "1.2.3.4", "10.0.0.1"),
        (("::1/128",), "::1", "::ffff:1.2.3.4", "1.2.3.4"),
        (("10.0.0.0/8",), None, "1.2.3.4", None),
    ],
)
def test_the_address_cannot_be_chosen_by_the_client(
    trusted: tuple[str, ...], peer: str | None, forwarded: str, expected: str | None
) -> None:
    authentication = Authentication(trusted_proxies=trusted)
    found = authentication.credentials(scope((b"x-forwarded-for", forwarded.encode()), peer=peer))
    assert found.address == expected


def test_several_forwarded_headers_are_one_list() -> None:
    authentication = Authentication(trusted_proxies=("10.0.0.0/8",))
    headers = ((b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"1.2.3.4"))
    assert authentication.credentials(scope(*headers)).address == "1.2.3.4"


class Knows:
    """Accepts one key and refuses another."""

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        if credentials.apikey == "bad":
            raise InvalidCredential("no", reason="revoked")
        if credentials.apikey == "good":
            return Principal(kind=PrincipalKind.KEY, role="anon")
        return None

    def standing(self, credentials: Credentials) -> None:
        del credentials


async def test_nothing_sent_is_the_anonymous_role() -> None:
    authentication = Authentication("web_anon")
    principal = await authentication.authenticate(Credentials())
    assert (principal.role, principal.is_default, principal.kind) == ("web_anon", True, "anonymous")
    authentication.use_anonymous_role("other")
    assert (await authentication.authenticate(Credentials())).role == "other"


async def test_the_first_that_knows_the_credential_answers() -> None:
    authentication = Authentication()
    authentication.register([Knows()])
    assert (await authentication.authenticate(Credentials(apikey="good"))).kind == "key"
    with pytest.raises(InvalidCredential) as refused:
        await authentication.authenticate(Credentials(apikey="bad"))
    assert refused.value.reason == "revoked"
    with pytest.raises(InvalidCredential) as refused:
        await authentication.authenticate(Credentials(apikey="stranger"))
    assert refused.value.reason == "unknown"
