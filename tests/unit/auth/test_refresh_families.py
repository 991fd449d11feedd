from __future__ import annotations

from modules.auth.refresh_families import MAX_STEPS, Chain
from monohull.kernel.ids import hash_token

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


def test_a_second_factor_may_replace_a_token_that_nobody_presented() -> None:
    chain = Chain(SECRET)
    first = chain.first()
    second = chain.following(first)
    for early in (first, second):
        by_factor = chain.following_hash(hash_token(early))
        assert by_factor not in {*chain.walk(first)}
        assert by_factor in {*chain.successors(first)}
    assert chain.following(chain.following_hash(hash_token(first))) in {*chain.successors(first)}
    assert {*chain.walk(first)} < {*chain.successors(first)}
