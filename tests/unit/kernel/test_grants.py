"""What principals hold: asked once an epoch, of nobody whom it does not concern."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from monohull.kernel.authentication import Authentication, Credentials
from monohull.kernel.column_limits import ColumnLimits, ColumnRule
from monohull.kernel.grants import NOTHING, Granted, Grants
from monohull.kernel.principal import Principal, PrincipalKind

EDITOR = Granted(roles=("editor",), permissions=frozenset({"posts:write"}))
USER = Principal(kind=PrincipalKind.USER, role="authenticated", subject="u1", claims={"sub": "u1"})
KEY = Principal(kind=PrincipalKind.KEY, role="anon", key_id="k1", permissions=frozenset({"a.b:read"}))


class Source:
    """Gives what it is told to give, and counts how often it was asked."""

    def __init__(self, granted: Granted = EDITOR) -> None:
        self.given = granted
        self.asked: list[Principal] = []
        self.gate: asyncio.Event | None = None

    async def granted(self, principal: Principal) -> Granted:
        self.asked.append(principal)
        given = self.given
        if self.gate is not None:
            await self.gate.wait()
        return given


class Kept:
    """A standing that holds until it is ended."""

    def __init__(self, principal: Principal) -> None:
        self.principal: Principal | None = principal

    def use(self) -> Principal | None:
        return self.principal


def grants_of(source: Source, **options: int) -> Grants:
    grants = Grants(**options)
    grants.use(source)
    return grants


async def test_a_user_is_asked_about_once() -> None:
    source = Source()
    grants = grants_of(source)
    first, second = await grants.complete(USER), await grants.complete(USER)
    assert first is second
    assert (first.roles, first.permissions) == (("editor",), frozenset({"posts:write"}))
    assert (len(source.asked), grants.lookups) == (1, 1)


async def test_a_key_keeps_what_it_brought() -> None:
    completed = await grants_of(Source()).complete(KEY)
    assert completed.permissions == {"a.b:read", "posts:write"}


async def test_who_holds_nothing_stays_the_same_principal() -> None:
    assert await grants_of(Source(NOTHING)).complete(USER) is USER


@pytest.mark.parametrize(
    "principal",
    [
        Principal(kind=PrincipalKind.ANONYMOUS, role="anon"),
        Principal(kind=PrincipalKind.SERVICE, role="service_role", permissions=frozenset({"*"})),
    ],
    ids=["anonymous", "service"],
)
async def test_nobody_asks_about_those_whom_roles_do_not_concern(principal: Principal) -> None:
    source = Source()
    grants = grants_of(source)
    assert await grants.complete(principal) is principal
    inner = Kept(principal)
    assert grants.standing(inner) is inner
    assert source.asked == []


async def test_what_an_application_got_from_a_user_is_remembered_apart() -> None:
    source = Source()
    grants = grants_of(source)
    lent = msgspec.structs.replace(USER, claims={"sub": "u1", "client_id": "app"})
    await grants.complete(USER)
    source.given = NOTHING
    assert await grants.complete(lent) is lent
    assert source.asked == [USER, lent]


async def test_limits_alone_are_put_into_a_principal() -> None:
    rule = ColumnRule("public", "people", frozenset({"id"}), None, ("support",))
    limited = await grants_of(Source(Granted(columns=ColumnLimits((rule,))))).complete(USER)
    assert limited.columns is not None
    assert limited.columns.of("public", "people") is rule
    assert (limited.roles, limited.permissions) == ((), frozenset())


async def test_an_epoch_ends_what_was_known() -> None:
    source = Source()
    grants = grants_of(source)
    await grants.complete(USER)
    standing = grants.standing(Kept(USER))
    assert standing is not None
    assert (known := standing.use()) is not None
    assert known.roles == ("editor",)
    source.given = NOTHING
    grants.begin_epoch()
    assert standing.use() is None
    assert await grants.complete(USER) is USER
    assert len(source.asked) == 2


async def test_the_standing_ends_with_the_credential() -> None:
    grants = grants_of(Source())
    await grants.complete(USER)
    inner = Kept(USER)
    standing = grants.standing(inner)
    assert standing is not None
    inner.principal = None
    assert standing.use() is None


async def test_an_answer_that_an_epoch_overtook_is_not_kept() -> None:
    source = Source()
    source.gate = asyncio.Event()
    grants = grants_of(source)
    asking = asyncio.create_task(grants.complete(USER))
    await asyncio.sleep(0)
    source.given = NOTHING
    grants.begin_epoch()
    source.gate.set()
    await asking
    assert len(grants) == 0
    assert await grants.complete(USER) is USER


async def test_it_remembers_a_bounded_number() -> None:
    grants = grants_of(Source(), entries=3)
    for number in range(10):
        await grants.complete(Principal(kind=PrincipalKind.USER, role="authenticated", subject=f"u{number}"))
    assert len(grants) == 3


def test_there_is_one_source() -> None:
    with pytest.raises(ValueError, match="two modules"):
        grants_of(Source()).use(Source())


async def test_authentication_completes_what_authenticators_find() -> None:
    class Knows:
        async def authenticate(self, credentials: Credentials) -> Principal | None:
            return USER if credentials.bearer == "token" else None

        def standing(self, credentials: Credentials) -> Kept | None:
            return Kept(USER) if credentials.bearer == "token" else None

    authentication = Authentication(grants=grants_of(Source()))
    authentication.register([Knows()])
    credentials = Credentials(bearer="token")
    assert authentication.standing(credentials) is None  # nobody was asked yet
    assert (await authentication.authenticate(credentials)).roles == ("editor",)
    standing = authentication.standing(credentials)
    assert standing is not None
    assert (known := standing.use()) is not None
    assert known.roles == ("editor",)
