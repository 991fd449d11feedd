"""Drive one workload: with wrk where it is installed, else with sockets of our own.

Both keep 32 connections busy. The second is Python and takes more of the
machine, so its figures compare with themselves only.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import time
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
from joserfc import jwt
from joserfc.jwk import OctKey

from monohull.kernel.clock import unix_seconds
from tests.load.instance import JWT_SECRET, Instance

if TYPE_CHECKING:
    from collections.abc import Callable

HERE: Final = Path(__file__).parent
TENANTS: Final = 200
CONNECTIONS: Final = 32


class Sample(msgspec.Struct, frozen=True):
    """What one run gave; ``refused`` are statuses from 400 on, ``broken`` are no answers at all."""

    requests: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    refused: int
    broken: int


def write_tokens(path: Path) -> list[str]:
    """Write one tenant's token a line, and return them."""

    secret = OctKey.import_key(JWT_SECRET)
    now = unix_seconds()
    tokens = [
        jwt.encode(
            {"alg": "HS256", "typ": "JWT"},
            {
                "role": "authenticated",
                "sub": tenant(k),
                "aud": "authenticated",
                "iat": now,
                "exp": now + 86_400,
                "email": f"t{k}@example.com",
            },
            secret,
            algorithms=["HS256"],
        )
        for k in range(TENANTS)
    ]
    path.write_text("".join(f"{token}\n" for token in tokens), encoding="ascii")
    return tokens


def tenant(k: int) -> str:
    """Return the id of a tenant."""
    return f"00000000-0000-4000-8000-{k:012d}"


def drive(instance: Instance, workload: str, tokens: Path, seconds: int) -> Sample:
    """Run ``workload`` for ``seconds``."""
    if (wrk := shutil.which("wrk")) is None:
        return asyncio.run(_drive(instance, workload, tokens.read_text(encoding="ascii").split(), seconds))
    command = [wrk, "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--timeout", "10s"]
    environ = {**os.environ, "WORKLOAD": workload, "TOKENS": str(tokens), "APIKEY": instance.apikey}
    done = subprocess.run(
        [*command, "-s", str(HERE / "workloads.lua"), instance.url],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    )
    return msgspec.json.decode(done.stderr.strip().splitlines()[-1], type=Sample)


async def _drive(instance: Instance, workload: str, tokens: list[str], seconds: int) -> Sample:
    until = time.monotonic() + seconds
    spent: list[float] = []
    refused = broken = 0

    async def connection() -> None:
        nonlocal refused, broken
        reader, writer = await asyncio.open_connection(
            urlsplit(instance.url).hostname, urlsplit(instance.url).port
        )
        while (began := time.monotonic()) < until:
            writer.write(REQUESTS[workload](instance.apikey, tokens))
            try:
                status = await _answer(reader)
            except (OSError, asyncio.IncompleteReadError):
                broken += 1
                break
            refused += status >= 400
            spent.append(time.monotonic() - began)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    cuts = [1000 * cut for cut in quantiles(spent, n=100)]
    return Sample(len(spent), len(spent) / seconds, cuts[49], cuts[94], cuts[98], refused, broken)


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
    if length:
        await reader.readexactly(length)
    return int(lines[0].split()[1])


def _get(path: str, key: str, token: str | None = None) -> bytes:
    bearer = f"authorization: Bearer {token}\r\n" if token else ""
    return f"GET /rest/v1/{path} HTTP/1.1\r\nhost: 127.0.0.1\r\napikey: {key}\r\n{bearer}\r\n".encode()


def _post(key: str, token: str, rows: object, prefer: str = "") -> bytes:
    body = json.dumps(rows).encode()
    head = (
        f"POST /rest/v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\napikey: {key}\r\n"
        f"authorization: Bearer {token}\r\ncontent-type: application/json\r\n"
        f"{prefer}content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _event(k: int, amount: int) -> dict[str, object]:
    return {"owner": tenant(k), "kind": "click", "payload": {"a": 1, "b": "two"}, "amount": amount}


def _b(key: str, tokens: list[str]) -> bytes:
    query = "select=id,status,total,created_at,customer_id&status=eq.paid&order=created_at.desc&limit=20"
    return _get(f"orders?{query}", key, random.choice(tokens))


def _c(key: str, tokens: list[str]) -> bytes:
    k = random.randrange(TENANTS)
    order = k + 200 * random.randint(1, 999)
    return _get(f"orders?id=eq.{order}&select=*,order_items(*,products(*))", key, tokens[k])


def _d(key: str, tokens: list[str]) -> bytes:
    k = random.randrange(TENANTS)
    return _post(key, tokens[k], _event(k, 7), "prefer: return=representation\r\n")


def _e(key: str, tokens: list[str]) -> bytes:
    k = random.randrange(TENANTS)
    return _post(key, tokens[k], [_event(k, amount) for amount in range(1000)])


def _f(key: str, tokens: list[str]) -> bytes:
    start = random.randint(1, 590_000)
    return _get(f"order_items?id=gt.{start}&order=id.asc&limit=100", key, random.choice(tokens))


REQUESTS: Final[dict[str, Callable[[str, list[str]], bytes]]] = {
    "a": lambda key, _: _get(f"products?id=eq.{random.randint(1, 5000)}", key),
    "b": _b,
    "c": _c,
    "d": _d,
    "e": _e,
    "f": _f,
}
