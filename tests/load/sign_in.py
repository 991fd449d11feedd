"""What a storm of password sign-ins does to everybody else.

    python -m tests.load.sign_in --seconds 8

A password costs about 50 ms of a core on purpose, so sign-ins a second are
bounded by the cores. What must not suffer is the event loop: ``/health/live``
is asked all the while, and its 99th percentile has to stay under 20 ms.
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

from tests.load.generator import HERE
from tests.load.instance import serving
from tests.load.refresh import OPTIONS
from tests.load.run import psql
from tests.services import start_services

if TYPE_CHECKING:
    from tests.load.instance import Instance

GOAL_MS: Final = 20.0
PEOPLE: Final = 8
PROBE_SECONDS: Final = 0.01
PASSWORD: Final = "correct-horse-battery"


class Result(msgspec.Struct, frozen=True):
    """One run; ``calm_p99_ms`` is the probe's figure while nobody signs in."""

    sign_ins_per_second: float
    live_p50_ms: float
    live_p99_ms: float
    calm_p99_ms: float
    refused: int


async def probe(url: str, until: float) -> list[float]:
    """Ask whether the process lives, every `PROBE_SECONDS`; return how long each answer took, in ms."""
    reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    took = []
    while time.monotonic() < until:
        began = time.monotonic()
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        headers = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        await reader.readexactly(next(int(line[15:]) for line in headers if line[:15] == b"content-length:"))
        took.append((time.monotonic() - began) * 1000)
        await asyncio.sleep(PROBE_SECONDS)
    writer.close()
    return took


async def sign_in(client: httpx.AsyncClient, email: str, until: float) -> tuple[int, int]:
    """Sign in again and again; return how often it went well, and how often not."""
    done = refused = 0
    while time.monotonic() < until:
        body = {"email": email, "password": PASSWORD}
        answer = await client.post("/auth/v1/token?grant_type=password", json=body)
        done, refused = done + answer.is_success, refused + (not answer.is_success)
    return done, refused


async def drive(instance: Instance, seconds: float) -> Result:
    """Measure calm, then storm."""
    async with httpx.AsyncClient(base_url=instance.url, timeout=60) as client:
        emails = [f"person{number}-{time.monotonic_ns()}@example.com" for number in range(PEOPLE)]
        for email in emails:
            answer = await client.post("/auth/v1/signup", json={"email": email, "password": PASSWORD})
            answer.raise_for_status()
        calm = await probe(instance.url, time.monotonic() + seconds / 2)
        began = time.monotonic()
        until = began + seconds
        probing = asyncio.create_task(probe(instance.url, until))
        counts = await asyncio.gather(*(sign_in(client, email, until) for email in emails))
        found = await probing
        elapsed = time.monotonic() - began
    cuts = quantiles(found, n=100)
    return Result(
        sign_ins_per_second=round(sum(done for done, _ in counts) / elapsed, 1),
        live_p50_ms=round(cuts[49], 2),
        live_p99_ms=round(cuts[98], 2),
        calm_p99_ms=round(quantiles(calm, n=100)[98], 2),
        refused=sum(refused for _, refused in counts),
    )


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8)
    seconds = min(parser.parse_args().seconds, 60)
    with tempfile.TemporaryDirectory(prefix="monohull-load-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        services = start_services(Path(folder))
        try:
            url = urlsplit(services.postgres_url)._replace(path="/load").geturl()
            psql(services.postgres_url, "create database load")
            with serving(url, services.redis_url, data_set=HERE / "dataset.sql", options=OPTIONS) as instance:
                result = asyncio.run(drive(instance, seconds))
        finally:
            services.stop()
    print(msgspec.json.format(msgspec.json.encode(result)).decode())
    return int(result.refused > 0 or result.live_p99_ms > GOAL_MS)


if __name__ == "__main__":
    sys.exit(main())
