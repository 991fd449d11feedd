from __future__ import annotations

import pytest

from modules.auth.token_cache import TokenCache
from monohull.kernel import clock


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    time = [1000]
    monkeypatch.setattr(clock, "unix_seconds", lambda: time[0])
    return time


def test_a_value_stays_until_its_time_is_over(at: list[int]) -> None:
    cache: TokenCache[str] = TokenCache()
    cache.put("token", "value", until=1010)
    at[0] = 1010
    assert cache.get("token") == "value"
    at[0] = 1011
    assert cache.get("token") is None
    assert len(cache) == 0
    assert (cache.hits, cache.misses) == (1, 1)


@pytest.mark.usefixtures("at")
def test_the_least_recently_used_goes_first() -> None:
    cache: TokenCache[int] = TokenCache(entries=2)
    cache.put("a", 1, until=2000)
    cache.put("b", 2, until=2000)
    cache.get("a")
    cache.put("c", 3, until=2000)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)
    cache.clear()
    assert len(cache) == 0


@pytest.mark.usefixtures("at")
def test_no_entries_switch_it_off() -> None:
    cache: TokenCache[int] = TokenCache(entries=0)
    cache.put("a", 1, until=2000)
    assert cache.get("a") is None


def test_the_token_itself_is_not_kept() -> None:
    cache: TokenCache[int] = TokenCache()
    cache.put("a-token", 1, until=1e12)
    assert b"a-token" not in b"".join(cache._values)


def test_text_that_is_no_utf8_is_no_error() -> None:
    assert TokenCache[int]().get("\ud800") is None


def test_an_entry_holds_as_long_as_the_cache_does(at: list[int]) -> None:
    cache: TokenCache[str] = TokenCache(entries=2)
    assert cache.entry("a") is None
    cache.put("a", "value", until=1010)
    entry = cache.entry("a")
    assert entry is not None
    assert (entry.use(), cache.hits) == ("value", 1)
    at[0] = 1011
    assert entry.use() is None


@pytest.mark.usefixtures("at")
@pytest.mark.parametrize("way", ["drop", "clear", "put", "push out"])
def test_a_forgotten_entry_is_of_no_use_to_whoever_kept_it(way: str) -> None:
    cache: TokenCache[str] = TokenCache(entries=1)
    cache.put("a", "value", until=2000)
    entry = cache.entry("a")
    assert entry is not None
    match way:
        case "drop":
            cache.drop(lambda value: value == "value")
        case "clear":
            cache.clear()
        case "put":
            cache.put("a", "another", until=2000)
        case _:
            cache.put("b", "value", until=2000)
    assert entry.use() is None


@pytest.mark.usefixtures("at")
def test_use_keeps_an_entry_from_being_pushed_out() -> None:
    cache: TokenCache[int] = TokenCache(entries=2)
    cache.put("a", 1, until=2000)
    cache.put("b", 2, until=2000)
    entry = cache.entry("a")
    assert entry is not None
    entry.use()
    cache.put("c", 3, until=2000)
    assert (entry.use(), cache.entry("b")) == (1, None)
