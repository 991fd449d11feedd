"""A hook at every point, of each kind: it notes what it is told, and refuses on demand."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from tests.integration.auth.people import People

POINTS: Final = (
    "custom_access_token",
    "before_user_created",
    "password_verification_attempt",
    "mfa_verification_attempt",
    "send_email",
    "send_sms",
)
DECIDING: Final = ("password_verification_attempt", "mfa_verification_attempt")

Calls: TypeAlias = "Callable[[str], Awaitable[Sequence[Mapping[str, Any]]]]"
"""Payloads that a point got, in order."""

Refuse: TypeAlias = "Callable[[str], Awaitable[None]]"
"""Has one point refuse from now on, and no other."""

seen: Final[dict[str, list[Mapping[str, Any]]]] = {point: [] for point in POINTS}
refusing: Final[set[str]] = set()


def answer(point: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Note a call and answer it."""
    seen[point].append(payload)
    if point in refusing:
        if point in DECIDING:
            return {"decision": "reject", "message": "not today"}
        return {"error": {"http_code": 403, "message": "not today"}}
    if point == "custom_access_token":
        return {"claims": {**payload["claims"], "hooked": True}}
    return {"decision": "continue"} if point in DECIDING else {}


def custom_access_token(payload: Mapping[str, Any]) -> dict[str, Any]:
    return answer("custom_access_token", payload)


async def before_user_created(payload: Mapping[str, Any]) -> dict[str, Any]:
    return answer("before_user_created", payload)


def password_verification_attempt(payload: Mapping[str, Any]) -> dict[str, Any]:
    return answer("password_verification_attempt", payload)


async def mfa_verification_attempt(payload: Mapping[str, Any]) -> dict[str, Any]:
    return answer("mfa_verification_attempt", payload)


def send_email(payload: Mapping[str, Any]) -> dict[str, Any]:
    return answer("send_email", payload)


async def send_sms(payload: Mapping[str, Any]) -> dict[str, Any]:
    return answer("send_sms", payload)


def forget() -> None:
    """Begin anew."""
    refusing.clear()
    for calls in seen.values():
        calls.clear()


async def calls_here(point: str) -> Sequence[Mapping[str, Any]]:
    return list(seen[point])


async def refuse_here(point: str) -> None:
    refusing.clear()
    refusing.add(point)


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """Serve the hooks on loopback, each at its name."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
        assert headers["webhook-signature"].startswith("v1,")
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        content = json.dumps(answer(head.split(" ")[1].strip("/"), body)).encode()
        writer.write(b"HTTP/1.1 200 x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(content))
        writer.write(content)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def functions() -> str:
    """Write the hooks as functions of the database."""
    refusals = {
        point: '{"decision": "reject", "message": "not today"}'
        if point in DECIDING
        else '{"error": {"http_code": 403, "message": "not today"}}'
        for point in POINTS
    }
    answers = dict.fromkeys(POINTS, "'{}'::jsonb") | dict.fromkeys(DECIDING, '\'{"decision": "continue"}\'')
    answers["custom_access_token"] = "jsonb_set(event, '{claims,hooked}', 'true')"
    return "create table public.calls (id serial, point text, event jsonb);" + "".join(
        f"create function public.{point}(event jsonb) returns jsonb language plpgsql as $$ begin"
        f" if exists (select from public.calls as c where c.id = 0 and c.point = '{point}') then"
        f" return '{refusals[point]}'::jsonb; end if;"
        f" insert into public.calls (point, event) values ('{point}', event);"
        f" return {answers[point]}; end $$;"
        for point in POINTS
    )


def in_database(people: People) -> tuple[Calls, Refuse]:
    """Return how to look at the functions of the database."""

    async def calls(point: str) -> Sequence[Mapping[str, Any]]:
        rows = await people.rows(
            "select event from public.calls where id > 0 and point = $1 order by id", point
        )
        return [json.loads(row["event"]) for row in rows]

    async def refuse(point: str) -> None:
        await people.execute("delete from public.calls where id = 0")
        await people.execute("insert into public.calls (id, point) values (0, $1)", point)

    return calls, refuse
