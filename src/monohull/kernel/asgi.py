"""The types of ASGI, of the shorter way of our own server, and of a wire's way to write a `Problem`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, MutableMapping, Sequence
from typing import Any, Protocol, TypeAlias

from monohull.kernel.errors import Problem, Rendered

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
ProblemRenderer: TypeAlias = Callable[[Problem, Scope], Rendered]
Work: TypeAlias = Coroutine[Any, Any, None]
Reply: TypeAlias = tuple[int, bytes, bytes]
"""Status, header lines and body of a whole answer."""


def lines_of(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    r"""Write header lines, which can be kept where they are always the same.

    >>> lines_of([(b"etag", b'"7"')])
    b'etag: "7"\r\n'

    Raises:
        ValueError: A header holds what would end it.
    """
    lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
    count = len(headers)
    if lines.count(b"\n") != count or lines.count(b"\r") != count or b"\0" in lines:
        raise ValueError("a header of the answer holds a line feed, a carriage return or a zero byte")
    return lines


class Direct(Protocol):
    """A request that can be answered without a task: what our own server gives in place of ASGI's three.

    ASGI has an application be a coroutine, and a coroutine needs a task, a context and two turns of the
    loop. What knows its answer at once, or hears of it from the database, has no use for any of them.
    """

    async def receive(self) -> Message:
        """Return what comes next of the body, or that the client has gone."""
        ...

    def send(self, message: Message) -> Awaitable[None]:
        """Send a part of the answer."""
        ...

    def take_body(self) -> bytes | None:
        """Return the whole body if all of it is there; then `receive` tells of the client's leaving alone."""
        ...

    @property
    def client(self) -> tuple[str, int] | None:
        """Address and port of the client."""
        ...

    @property
    def may_repeat(self) -> bool:
        """Whether `remember` would be of use."""
        ...

    def remember(self, again: Again) -> None:
        """Have ``again`` asked when the same request comes from the same client with another part.

        That is the query of a GET, or the body of a POST.

        The server may forget it.
        """
        ...

    def answer(self, status: int, lines: bytes, body: bytes, *, keeps: bool = True) -> None:
        """Send a whole answer: nothing is left to be done.

        Args:
            status: One that has a body.
            lines: Its header, as `lines_of` writes one; how long the body is the server says.
            body: Of any length.
            keeps: Whether the connection may go on.
        """
        ...

    def go_on(self, work: Work) -> None:
        """Have ``work`` answer after all, as a task."""
        ...


class Channel(Protocol):
    """A connection on which a request came that is known but for a part."""

    def turn_over(self) -> Direct:
        """Begin with the request, which will be answered."""
        ...

    def forget(self) -> None:
        """Have further ones read."""
        ...


Again: TypeAlias = Callable[[bytes, Channel], Reply | bool]
"""What is told of such a part. It returns the answer, True where one will come, False to have it read."""
