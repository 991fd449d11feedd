"""Send what was answered: whole, or piece by piece while it still comes from the database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from monohull.kernel.database.stream import AnswerBrokenOff
from monohull.kernel.departures import until_gone

if TYPE_CHECKING:
    from modules.rest.response import Answer
    from monohull.kernel.asgi import Message, Receive, Send
    from monohull.kernel.database.stream import ValueStream


async def send_answer(receive: Receive, send: Send, answer: Answer) -> None:
    """Send an answer, with the size of its body announced.

    Raises:
        AnswerBrokenOff: The database or the client did not keep up; the client gets less than was announced.
    """
    start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
    body = answer.body
    if isinstance(body, bytes):
        await send(start)
        await send({"type": "http.response.body", "body": body})
        return
    leaving = asyncio.create_task(until_gone(receive))
    leaving.add_done_callback(lambda _: body.close())
    try:
        async with asyncio.timeout_at(body.deadline):
            await _send_pieces(send, start, body)
    except TimeoutError:
        raise AnswerBrokenOff(
            f"An answer was broken off after {body.given} of {len(body)} bytes: the client is too slow."
        ) from None
    finally:
        body.close()
        leaving.cancel()


async def _send_pieces(send: Send, start: Message, body: ValueStream) -> None:
    await send(start)
    async for piece in body:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    if body.given == len(body):  # else nobody is there any more
        await send({"type": "http.response.body", "body": b""})
