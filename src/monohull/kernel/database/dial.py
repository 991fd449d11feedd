"""Open a connection with asyncpg, then take its transport over.

asyncpg knows how to reach a server: several hosts, sockets, TLS, SCRAM, a time
limit. Once it has logged in it hears that its connection is lost, which is true
as far as it is concerned, and forgets about it; the transport speaks to `Wire`
from then on. What asyncpg offers nobody by a public name is confined to this
file: the protocol object, the key for CancelRequest, and sending one.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from asyncpg import connect_utils

from monohull.kernel.database.exchange import ConnectionLost
from monohull.kernel.database.frames import PostgresError
from monohull.kernel.database.urls import parse_url
from monohull.kernel.database.wire import Wire

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

CONNECT_TIMEOUT_SECONDS: Final = 2.0
"""Unless the URL has a ``connect_timeout``. A server that is there answers in milliseconds."""

_KEEPALIVE: Final = (
    (socket.SO_KEEPALIVE, socket.SOL_SOCKET, 1),
    *(
        (getattr(socket, name), socket.IPPROTO_TCP, value)
        for name, value in (
            ("TCP_KEEPIDLE", 15),
            ("TCP_KEEPINTVL", 5),
            ("TCP_KEEPCNT", 3),
            ("TCP_USER_TIMEOUT", 30_000),
        )
        if hasattr(socket, name)
    ),
)
"""A host that vanishes without a word is noticed in 30 seconds. Not every system has all of them."""


async def dial(
    url: str,
    *,
    application_name: str,
    prepared: bool = True,
    generic_plans: bool = True,
    max_result_bytes: int | None = None,
) -> Wire:
    """Log in at ``url``.

    Args:
        url: ``postgresql://``.
        application_name: Seen in ``pg_stat_activity``.
        prepared: Keep prepared statements. False for PgBouncer in transaction mode.
        generic_plans: Plan a prepared statement once, whatever its parameters are.
        max_result_bytes: Ceiling of one request's rows.

    Raises:
        DatabaseUrlError: The URL cannot be used.
        ConnectionLost: Nobody answers there, or not in time, or the server takes nobody at present.
        PostgresError: The server refuses this login.
    """
    address = parse_url(url)
    settings = dict(address.server_settings)
    settings["application_name"] = application_name
    if prepared and generic_plans:  # PgBouncer refuses settings it does not know
        settings["plan_cache_mode"] = "force_generic_plan"
    arguments = address.connect_arguments()
    arguments["timeout"] = address.connect_timeout_seconds or CONNECT_TIMEOUT_SECONDS
    try:
        connection = await asyncpg.connect(server_settings=settings, statement_cache_size=0, **arguments)
    except asyncpg.PostgresError as error:
        raise _refusal(error) from error
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        reason = str(error) or f"no answer within {arguments['timeout']:g} s"
        raise ConnectionLost(reason, nothing_sent=True) from error
    wire = Wire(
        pid=connection.get_server_pid(),
        cancel=_canceller(connection),
        prepared=prepared,
        max_result_bytes=max_result_bytes,
    )
    _hand_over(connection, wire)
    try:
        await wire.exchange(())  # the two agree where a message begins
    except BaseException:
        wire.abort("the connection was not ready")
        raise
    return wire


def _hand_over(connection: Any, wire: Wire) -> None:
    if connection.is_closed():
        raise ConnectionLost("the server closed the connection", nothing_sent=True)
    protocol, transport = connection._protocol, connection._transport  # noqa: SLF001 see the module's docstring
    transport.set_protocol(wire)
    wire.connection_made(transport)
    protocol.connection_lost(None)
    _notice_silence(transport)


def keep_alive(connection: Any) -> None:
    """Have a connection of asyncpg end where its host vanishes without a word."""
    _notice_silence(connection._transport)  # noqa: SLF001 see the module's docstring


def _notice_silence(transport: asyncio.Transport) -> None:
    endpoint = transport.get_extra_info("socket")
    if endpoint is not None and endpoint.family != socket.AF_UNIX:
        for option, level, value in _KEEPALIVE:
            endpoint.setsockopt(level, option, value)


def _canceller(connection: Any) -> Callable[[], Awaitable[None]]:
    """Return what sends a CancelRequest to this server, with TLS if the connection has it."""
    protocol = connection._protocol  # noqa: SLF001 see the module's docstring
    return partial(
        connect_utils._cancel,  # noqa: SLF001
        loop=connection._loop,  # noqa: SLF001
        addr=connection._addr,  # noqa: SLF001
        params=connection._params,  # noqa: SLF001
        backend_pid=protocol.backend_pid,
        backend_secret=protocol.backend_secret,
    )


def _refusal(error: asyncpg.PostgresError) -> Exception:
    fields = {"C": error.sqlstate or "XX000", "M": error.message or str(error), "V": "FATAL"}
    if error.detail:
        fields["D"] = error.detail
    if error.hint:
        fields["H"] = error.hint
    refusal = PostgresError(fields)
    return ConnectionLost(str(refusal), nothing_sent=True) if refusal.is_outage else refusal
