from __future__ import annotations

from uuid import uuid4

from modules.auth.refresh_families import MAX_STEPS, Chain

SECRET = "a-secret-of-more-than-thirty-two-characters"


def test_a_token_follows_from_the_one_before_and_the_secret() -> None:
    chain, session = Chain(SECRET), uuid4()
    first = chain.first()
    second = chain.following(first, session)
    assert chain.following(first, session) == second
    assert len({first, second, chain.following(second, session), chain.following(first, uuid4())}) == 4
    assert Chain(SECRET + "x").following(first, session) != second
    assert len(first) == len(second) == 43


def test_walking_finds_every_follower() -> None:
    chain, session = Chain(SECRET), uuid4()
    token = chain.first()
    walked = list(chain.walk(token, session))
    assert len(walked) == MAX_STEPS
    assert walked[0] == chain.following(token, session)
    assert walked[2] == chain.following(walked[1], session)
