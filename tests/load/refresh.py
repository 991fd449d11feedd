"""How many sessions two API processes renew a second, and what one refresh costs.

    python -m tests.load.refresh --seconds 5

Every connection is one device that renews its own session again and again, as
fast as it is answered. The processor time of everything that takes part but
the generator is the steadier figure: on a machine that does nothing else, two
cores do 2e6 µs of work a second.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx
import msgspec
import psutil

from tests.load.generator import HERE
from tests.load.instance import serving
from tests.load.run import cpu_seconds, psql
from tests.services import start_services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.load.instance import Instance

GOAL_PER_SECOND: Final = 300
CORES: Final = 2
DEVICES: Final = 16
OPTIONS: Final = {
    # production would refuse to trust addresses, and to let one client ask so often
    "MONOHULL_ENV": "test",
    "MONOHULL_AUTH_RATE_LIMIT_TOKEN_REFRESH": "100000000",
    "MONOHULL_AUTH_RATE_LIMIT_OTP": "100000000",
    "MONOHULL_AUTH_MAILER_AUTOCONFIRM": "true",
}


class Result(msgspec.Struct, frozen=True):
    """One run; ``cpu_us`` is what a refresh cost API, PostgreSQL and Redis together."""

    per_second: float
    cpu_us: float
    api_cpu_us: float
    p50_ms: float
    p99_ms: float
    refused: int

    @property
    def capacity(self) -> float:
        """Refreshes a second that two cores have the processor time for."""
        return CORES * 1e6 / self.cpu_us


async def sign_up(client: httpx.AsyncClient, number: int) -> str:
    body = {"email": f"device{number}-{time.monotonic_ns()}@example.com", "password": "correct-horse-battery"}
    answer = await client.post("/auth/v1/signup", json=body)
    answer.raise_for_status()
    token: str = answer.json()["refresh_token"]
    return token


async def device(url: str, token: str, until: float, took: list[float]) -> int:
    """Renew until it is time; return how many refusals there were."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    reader, writer = await asyncio.open_connection(host, port)
    refused = 0
    while time.monotonic() < until:
        body = b'{"refresh_token":"%s"}' % token.encode()
        head = (
            b"POST /auth/v1/token?grant_type=refresh_token HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
        )
        began = time.monotonic()
        writer.write(head % len(body) + body)
        headers = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in headers.lower().split(b"\r\n") if line[:15] == b"content-length:"
        )
        answer = await reader.readexactly(length)
        took.append(time.monotonic() - began)
        if headers[9:12] == b"200":
            token = msgspec.json.decode(answer)["refresh_token"]
        else:
            refused += 1
    writer.close()
    return refused


async def drive(instances: Sequence[Instance], seconds: float) -> tuple[list[float], int]:
    """Keep every device busy; return how long each refresh took, in seconds, and the refusals."""
    async with httpx.AsyncClient(base_url=instances[0].url) as client:
        tokens = [await sign_up(client, number) for number in range(DEVICES)]
    took: list[float] = []
    until = time.monotonic() + seconds
    urls = [instances[number % len(instances)].url for number in range(DEVICES)]
    refused = await asyncio.gather(
        *(device(url, token, until, took) for url, token in zip(urls, tokens, strict=True))
    )
    return took, sum(refused)


def server_seconds() -> float:
    """Return the processor time of PostgreSQL and Redis below this process."""
    found = psutil.Process().children(recursive=True)
    return sum(sum(one.cpu_times()[:2]) for one in found if one.name().startswith(("postgres", "valkey")))


def measure(instances: Sequence[Instance], seconds: float) -> Result:
    """Run once."""
    asyncio.run(drive(instances, 1.0))  # warm
    api, servers = sum(cpu_seconds(one.pid) for one in instances), server_seconds()
    began = time.monotonic()
    took, refused = asyncio.run(drive(instances, seconds))
    elapsed = time.monotonic() - began
    api = sum(cpu_seconds(one.pid) for one in instances) - api
    servers = server_seconds() - servers
    cuts = quantiles(took, n=100)
    return Result(
        per_second=round(len(took) / elapsed, 1),
        cpu_us=round((api + servers) / len(took) * 1e6),
        api_cpu_us=round(api / len(took) * 1e6),
        p50_ms=round(cuts[49] * 1000, 2),
        p99_ms=round(cuts[98] * 1000, 2),
        refused=refused,
    )


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5)
    seconds = min(parser.parse_args().seconds, 60)
    with tempfile.TemporaryDirectory(prefix="monohull-load-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        services = start_services(Path(folder))
        try:
            url = urlsplit(services.postgres_url)._replace(path="/load").geturl()
            psql(services.postgres_url, "create database load")
            with (
                serving(url, services.redis_url, data_set=HERE / "dataset.sql", options=OPTIONS) as one,
                serving(url, services.redis_url, options=OPTIONS) as two,
            ):
                result = measure([one, two], seconds)
        finally:
            services.stop()
    print(msgspec.json.format(msgspec.json.encode(result)).decode())
    print(f"two cores have the time for {result.capacity:.0f} a second; the goal is {GOAL_PER_SECOND}")
    return int(result.refused > 0 or result.capacity < GOAL_PER_SECOND)


if __name__ == "__main__":
    sys.exit(main())
