"""What a process knows of ended sessions and changed users, without a database."""

from __future__ import annotations

from typing import Any

import pytest

from modules.auth.authenticator import TokenAuthenticator
from modules.auth.revocations import Denylist
from modules.auth.revocations.denylist import FORGET_SECONDS
from modules.auth.revocations.repository import Entry
from modules.auth.token_cache import TokenCache
from modules.auth.tokens import VERSION_CLAIM, TokenCodec
from monohull.kernel import clock
from monohull.kernel.authentication import Credentials
from monohull.kernel.database.engine import Database
from monohull.kernel.errors import InvalidCredential

NOW = 1_800_000_000
DATABASE = Database("postgresql://nobody@127.0.0.1:1/nothing")


@pytest.fixture(autouse=True)
def _at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "unix_seconds", lambda: NOW)


def denylist(*entries: Entry, **options: Any) -> Denylist:
    found = Denylist(DATABASE, lifetime_seconds=3600, **options)
    found._take(entries)
    return found


def user(state: dict[str, Any], at: float = NOW, number: int = 1) -> Entry:
    return Entry(number, "user", "u", at, state)


def refusal(found: Denylist, claims: dict[str, Any]) -> str:
    with pytest.raises(InvalidCredential) as caught:
        found.current(claims)
    return caught.value.reason


def test_an_ended_session() -> None:
    found = denylist(Entry(1, "session", "s", NOW))
    assert refusal(found, {"session_id": "s", "iat": NOW + 60}) == "ended"
    for claims in ({}, {"session_id": "t"}, {"session_id": ["s"]}, {"session_id": None}, {"sub": {"s": 1}}):
        assert found.current(claims) is claims


@pytest.mark.parametrize(
    ("state", "reason"),
    [({"deleted": True}, "deleted"), ({"banned_until": NOW + 1}, "banned"), ({"banned_until": NOW}, None)],
)
def test_deleted_and_banned_users(state: dict[str, Any], reason: str | None) -> None:
    found = denylist(user(state))
    for issued in ({}, {"iat": NOW - 5}, {"iat": NOW}):
        claims = {"sub": "u", **issued}
        if reason is None:
            assert found.current(claims) == claims
        else:
            assert refusal(found, claims) == reason


def test_the_last_word_on_a_user_counts() -> None:
    found = denylist(user({"banned_until": NOW + 60}), user({"banned_until": None}, number=2))
    assert found.current({"sub": "u"}) == {"sub": "u"}


def test_what_changed_takes_the_place_of_what_the_token_says() -> None:
    found = denylist(user({"role": "manager"}), user({"app_metadata": {"plan": "pro"}}, number=2))
    claims = {"sub": "u", "role": "authenticated", "app_metadata": {"plan": "free"}, "email": "a"}
    expected = {"sub": "u", "role": "manager", "app_metadata": {"plan": "pro"}, "email": "a"}
    assert found.current(claims) == expected
    later = claims | {"iat": NOW + 31}
    assert found.current(later) is later


def test_or_the_token_is_refused_until_it_is_refreshed() -> None:
    found = denylist(user({"role": "manager"}, at=NOW + 0.5), overlays=False)
    assert refusal(found, {"sub": "u", "iat": NOW}) == "outdated"
    renewed = {"sub": "u", "iat": NOW + 1}
    assert found.current(renewed) is renewed


def test_what_no_living_token_can_be_older_than_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    found = denylist(Entry(1, "session", "s", NOW), user({"deleted": True}))
    assert len(found) == 2
    monkeypatch.setattr(clock, "unix_seconds", lambda: NOW + 3600 + int(FORGET_SECONDS) + 1)
    found._forget()
    assert len(found) == 0


async def test_a_remembered_token_is_dropped() -> None:
    codec, found = TokenCodec(secret="s" * 32), denylist()
    authenticator = TokenAuthenticator(
        codec,
        role_claim_key=".role",
        anonymous_role=lambda: "anon",
        cache=TokenCache(),
        denylist=found,
    )
    tokens = [codec.sign({"sub": f"u{n}", "session_id": f"s{n}", "role": "authenticated"}) for n in range(3)]
    for token in tokens:
        await authenticator.authenticate(Credentials(bearer=token))
    found._take([Entry(1, "session", "s0", NOW), Entry(2, "user", "u1", NOW, {"deleted": True})])
    assert len(authenticator.cache) == 1
    for token in tokens[:2]:
        with pytest.raises(InvalidCredential):
            await authenticator.authenticate(Credentials(bearer=token))
    assert await authenticator.authenticate(Credentials(bearer=tokens[2])) is not None


@pytest.mark.parametrize("overlays", [True, False], ids=["shown", "refused"])
def test_within_one_second_the_version_says_which_was_first(overlays: bool) -> None:
    entry = user({"role": "manager", "version": 7}, at=NOW + 0.5)
    found = denylist(entry, overlays=overlays)
    claims = {"sub": "u", "iat": NOW, "role": "by a hook"}
    newer = claims | {VERSION_CLAIM: 7}
    assert found.current(newer) is newer
    older = claims | {VERSION_CLAIM: 6, "iat": NOW + 1}
    if overlays:
        assert found.current(older)["role"] == "manager"
    else:
        assert refusal(found, older) == "outdated"


def test_somebody_who_comes_back_by_the_same_id() -> None:
    found = denylist(user({"deleted": True, "version": 7}))
    assert refusal(found, {"sub": "u", "iat": NOW + 1, VERSION_CLAIM: 6}) == "deleted"
    back = {"sub": "u", "iat": NOW, VERSION_CLAIM: 8}
    assert found.current(back) is back
