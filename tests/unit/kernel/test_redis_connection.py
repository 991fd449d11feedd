"""What the errors of the Redis client mean."""

from __future__ import annotations

import pytest
from redis import exceptions

from monohull.kernel.errors import RedisUnavailable
from monohull.kernel.redis_connection import explain_redis_error, redis_or_unavailable


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (exceptions.AuthenticationError("WRONGPASS"), "refused the user or password"),
        (exceptions.BusyLoadingError("LOADING"), "loading its data"),
        (exceptions.ReadOnlyError("READONLY"), "replica"),
        (exceptions.OutOfMemoryError("OOM"), "full"),
        (exceptions.TimeoutError("x"), "did not answer in time"),
        (TimeoutError(), "did not answer in time"),
        (exceptions.ResponseError("ERR no"), "refused a command: ERR no"),
        (exceptions.ConnectionError("refused"), "not reachable: refused"),
        (OSError("no route"), "not reachable: no route"),
    ],
)
def test_errors_are_explained(error: Exception, sentence: str) -> None:
    assert sentence in explain_redis_error(error)


@pytest.mark.parametrize("error", [exceptions.ConnectionError("secret"), OSError("secret")])
def test_a_redis_that_is_away_is_503(error: Exception) -> None:
    with pytest.raises(RedisUnavailable) as caught, redis_or_unavailable(retry_after_seconds=3):
        raise error
    assert caught.value.headers == {"Retry-After": "3"}
    assert "secret" not in f"{caught.value} {caught.value.details}"
    assert caught.value.__cause__ is error


def test_a_defect_of_ours_is_not_hidden() -> None:
    with pytest.raises(exceptions.ResponseError), redis_or_unavailable():
        raise exceptions.ResponseError("ERR wrong number of arguments")
