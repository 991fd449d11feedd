"""Any interleaving of refreshes, retries and crashes leaves one live branch, and detects reuse.

The tokens of a session are known in advance to who has the secret: each follows
from the one before. So every step names a token by its place in the chain, and
a model of a few lines says what has to come out.

``REFRESH_EXAMPLES`` is how many scripts are tried: a few in the suite, hundreds to look for more.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modules.auth.errors import AuthProblem
from modules.auth.origin import Origin
from modules.auth.refresh_families import Chain
from modules.auth.services import Refresh, SessionIssuer
from modules.auth.settings import AuthSettings
from modules.auth.tokens import TokenCodec
from monohull.kernel.ids import hash_token
from tests.application import JWT_SECRET

if TYPE_CHECKING:
    from tests.integration.auth.people import People, Person

pytestmark = pytest.mark.asyncio(loop_scope="module")

LENGTH: Final = 12
EXAMPLES: Final = int(os.environ.get("REFRESH_EXAMPLES", "25"))
ORIGIN: Final = Origin("127.0.0.1", "property")
Step: TypeAlias = tuple[str, int, int]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("present"), st.integers(0, 3), st.integers(1, 3)),  # so far behind, so many at once
        st.tuples(st.just("crash"), st.integers(0, 1), st.integers(0, 40)),  # cancelled after so many turns
        st.tuples(st.just("age"), st.just(0), st.just(0)),
    ),
    min_size=1,
    max_size=10,
)


class Session:
    """What the model knows: the place of the live token, None once the family was revoked."""

    def __init__(self, people: People, person: Person) -> None:
        self.people = people
        self.person = person
        self.live: int | None = 0
        self.aged = 0
        chain, rules = Chain(JWT_SECRET), AuthSettings(security_refresh_token_reuse_interval=600)
        issuer = SessionIssuer(TokenCodec(secret=JWT_SECRET), chain, rules, issuer="here", audience=None)
        self.refresh = Refresh(people.served.runtime.database, issuer, rules)
        self.tokens = [person.refresh_token, *list(chain.walk(person.refresh_token))[:LENGTH]]

    async def present(self, place: int) -> str:
        """Return the refresh token that ``place`` was exchanged for, or the code of the refusal."""
        try:
            renewed = await self.refresh.renew(self.tokens[place], ORIGIN)
        except AuthProblem as problem:
            return problem.code
        return renewed.refresh_token

    def expect(self, place: int) -> str:
        """Say what one presentation has to give, and change the model accordingly."""
        if self.live is None:
            return "refresh_token_already_used"
        if place == self.live:
            self.live += 1
        elif place < self.live - 1 and place < self.aged:
            self.live = None
            return "refresh_token_already_used"
        return self.tokens[self.live]

    async def take(self, step: Step) -> None:
        kind, number, count = step
        place = max((self.live or 0) - number, 0)
        if kind == "age":
            await self.people.execute(
                "update auth.refresh_tokens set updated_at = updated_at - interval '601 seconds'"
                " where user_id = $1",
                self.person.id,
            )
            self.aged = self.live or 0
        elif kind == "present":
            answers = await asyncio.gather(*(self.present(place) for _ in range(count)))
            assert sorted(answers) == sorted(self.expect(place) for _ in range(count))
        else:
            await self.crash(place, count)

    async def crash(self, place: int, turns: int) -> None:
        """Let the process go away in the middle of a refresh; it happened, or it did not."""
        task = asyncio.create_task(self.present(place))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self.settle(place)

    async def settle(self, place: int) -> None:
        """Wait until the database has heard of the cancellation, then see which of the two it was."""
        await self.people.execute("select 1 from auth.sessions where user_id = $1 for update", self.person.id)
        live = await self.find_live()
        before = self.live
        self.expect(place)
        assert live in (before, self.live)
        self.live = live

    async def find_live(self) -> int | None:
        rows = await self.people.rows(
            "select token from auth.refresh_tokens where user_id = $1 and not revoked", self.person.id
        )
        assert len(rows) <= 1
        places = {hash_token(token): place for place, token in enumerate(self.tokens)}
        return places[rows[0]["token"]] if rows else None

    async def check(self) -> None:
        """One live branch, or none and an alarm."""
        assert await self.find_live() == self.live
        alarms = (await self.people.events(self.person.id)).count("auth.token_reuse_detected")
        assert alarms == (self.live is None)
        (row,) = await self.people.rows(
            "select count(*) as all, count(distinct parent) as parents from auth.refresh_tokens"
            " where user_id = $1",
            self.person.id,
        )
        assert row["all"] == row["parents"] + 1  # a chain: nobody has two followers


@given(script=steps)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_one_live_branch_whatever_happens(people: People, script: list[Step]) -> None:
    session = Session(people, await people.sign_up())
    for step in script:
        await session.take(step)
        await session.check()


async def test_the_owner_who_keeps_trying_is_never_signed_out(people: People) -> None:
    """Every second answer is lost, and each time the client repeats its last token."""
    session = Session(people, await people.sign_up())
    for place in range(8):
        lost = await session.present(place)
        await session.take(("age", 0, 0))
        assert await session.present(place) == lost == session.tokens[place + 1]
        session.live = place + 1
        await session.check()


async def test_a_thief_and_the_owner_cannot_both_go_on(people: People) -> None:
    session = Session(people, await people.sign_up())
    await session.take(("present", 0, 1))  # the owner
    await session.take(("present", 0, 1))
    await session.take(("age", 0, 0))
    await session.take(("present", 2, 1))  # the thief's copy of the first token
    assert session.live is None
    await session.check()
    await session.take(("present", 0, 3))
