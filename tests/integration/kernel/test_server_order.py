"""What comes at the wrong moment: between two answers, after the client went, or before it has read."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from tests.integration.kernel.test_server_connections import (
    GET,
    MUCH,
    answer,
    body_of,
    echo,
    serving,
)
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from monohull.kernel.asgi import Receive, Scope, Send


WHO: ContextVar[str] = ContextVar("WHO", default="nobody")
ROUNDS = 300


async def check_bytes_that_come_between_two_answers() -> None:
    """Half of a request is there when an answer ends, and the other half comes in that moment."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        await echo(scope, receive, send)

    async with serving(app) as served:
        client = await served.connect()
        requests = [
            b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n%04d" % (n, n) for n in range(ROUNDS)
        ]
        sent = b"".join(requests)

        async def pieces() -> None:
            for at in range(0, len(sent), 37):
                client.writer.write(sent[at : at + 37])
                await asyncio.sleep(0)

        writing = asyncio.create_task(pieces())
        for n in range(ROUNDS):
            assert (await client.answer())[2] == b"POST /%d  %04d" % (n, n)
        await writing


async def check_bytes_in_the_turn_of_the_loop_in_which_an_answer_ends() -> None:
    async with serving(echo) as served:
        client = await served.connect()
        assert (await client.ask(GET))[0] == 200
        [one] = served.connections.open
        one.data_received(GET.replace(b"/", b"/1", 1) + b"GET /2 HTTP/1.1\r\nHo")
        while one.turn is not None:  # noqa: ASYNC110 to the very turn of the loop
            await asyncio.sleep(0)
        one.data_received(b"st: a\r\n\r\n" + GET.replace(b"/", b"/3", 1))
        assert [(await client.answer())[2] for _ in range(3)] == [b"GET /1  ", b"GET /2  ", b"GET /3  "]


async def check_nothing_begins_on_a_connection_that_ends() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["path"])
        await echo(scope, receive, send)

    for end in ("abort", "close"):
        seen.clear()
        async with serving(app) as served:
            client = await served.connect()
            client.writer.write(GET.replace(b"/", b"/1", 1))
            assert (await client.answer())[0] == 200
            [one] = served.connections.open
            one.data_received(GET.replace(b"/", b"/2", 1) + GET.replace(b"/", b"/3", 1))
            while one.turn is not None:  # noqa: ASYNC110 to the very turn of the loop
                await asyncio.sleep(0)
            getattr(one, end)()
            await asyncio.sleep(0.05)
            assert seen == ["/1", "/2"], end


async def check_who_reads_no_answers_gets_no_further_ones() -> None:
    answered = 0

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        nonlocal answered
        await body_of(receive)
        await answer(send, b"x" * 60_000)
        answered += 1

    async with serving(app) as served:
        client = await served.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(GET * 2000)
        await eventually(lambda: answered)
        before = -1
        while answered > before:
            before = answered
            await asyncio.sleep(0.3)
        [one] = served.connections.open
        assert one._transport.get_write_buffer_size() < 512 * 1024
        assert answered < 500
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(2000):
            assert len((await client.answer())[2]) == 60_000
        assert (await client.ask(GET))[0] == 200


async def check_each_request_has_a_context_of_its_own() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        was = WHO.get()
        WHO.set(scope["path"])
        await body_of(receive)
        await answer(send, was.encode())

    async with serving(app) as served:
        client = await served.connect()
        client.writer.write(GET.replace(b"/", b"/one", 1) + GET.replace(b"/", b"/two", 1))
        assert [(await client.answer())[2] for _ in range(2)] == [b"nobody", b"nobody"]
        # a body that has the reading stopped, so that it goes on from inside the request
        client.writer.write(
            b"PUT /big HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % MUCH + b"x" * MUCH
        )
        assert (await client.answer())[2] == b"nobody"
        assert (await client.ask(GET))[2] == b"nobody"


async def check_what_the_application_adds_to_the_lines_is_of_one_request() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["headers"].append((b"x-caller", b"admin"))
        await body_of(receive)
        await answer(send, b"%d" % len(scope["headers"]))

    async with serving(app) as served:
        for _ in range(2):
            client = await served.connect()
            assert [(await client.ask(GET))[2] for _ in range(2)] == [b"2", b"2"]


async def check_to_wait_again_after_a_wait_that_was_given_up() -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()
    listening = asyncio.Event()

    async def app(_: Scope, receive: Receive, __: Send) -> None:
        await body_of(receive)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await receive()
        listeners = [asyncio.create_task(receive()) for _ in range(2)]  # type: ignore[arg-type,var-annotated]
        await asyncio.sleep(0)
        listeners[0].cancel()
        listening.set()
        seen.put_nowait((await listeners[1])["type"])

    async with serving(app) as served:
        client = await served.connect()
        client.writer.write(GET)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await listening.wait()
            client.writer.close()
            assert await seen.get() == "http.disconnect"


CHECKS = (
    check_bytes_that_come_between_two_answers,
    check_bytes_in_the_turn_of_the_loop_in_which_an_answer_ends,
    check_nothing_begins_on_a_connection_that_ends,
    check_who_reads_no_answers_gets_no_further_ones,
    check_each_request_has_a_context_of_its_own,
    check_what_the_application_adds_to_the_lines_is_of_one_request,
    check_to_wait_again_after_a_wait_that_was_given_up,
)
LOOPS: dict[str, Callable[[], Any]] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_at_the_wrong_moment(check: Callable[[], Any], loop: str) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(check())
