"""One PostgreSQL and one Redis for a whole test session: real, fast, and not durable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from monohull.kernel.embedded import EmbeddedPostgres, EmbeddedRedis, discard, new_password

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Services(Struct, frozen=True):
    """Where the servers of the session are; ``postgres_url`` logs in as superuser."""

    postgres_url: str
    redis_url: str
    stop: Callable[[], None]


def start_services(state: Path, *, bin_dir: Path | None = None) -> Services:
    """Start both servers with their files below ``state``; `Services.stop` ends them and removes the files.

    Call it once a session (under xdist in the controller) and hand the URLs on.
    They die with the process that started them.
    """
    postgres = EmbeddedPostgres(state, password=new_password(), durable=False, bin_dir=bin_dir)
    redis = EmbeddedRedis(state, password=new_password(), durable=False)

    def stop() -> None:
        redis.stop()
        postgres.stop()
        discard(state)

    try:
        postgres.start()
        redis.start()
    except BaseException:
        stop()
        raise
    return Services(postgres.url, redis.url, stop)
