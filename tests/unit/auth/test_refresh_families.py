from __future__ import annotations

from modules.auth.refresh_families import MAX_STEPS, Chain

SECRET = "a-secret-of-more-than-thirty-two-characters"


def test_a_token_follows_from_the_one_before_and_the_secret() -> None:
    chain = Chain(SECRET)
    first = chain.first()
    second = chain.following(first)
    assert chain.following(first) == second
    assert len({first, second, chain.following(second), chain.following(chain.first())}) == 4
    assert Chain(SECRET + "x").following(first) != second
    assert len(first) == len(second) == 43


def test_walking_finds_every_follower() -> None:
    chain = Chain(SECRET)
    token = chain.first()
    walked = list(chain.walk(token))
    assert len(walked) == MAX_STEPS
    assert walked[0] == chain.following(token)
    assert walked[2] == chain.following(walked[1])
