"""The three ways to call a hook: a function in PostgreSQL, an HTTP endpoint, a Python function."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from monohull.kernel import clock
from monohull.kernel.database.engine import driver_error
from monohull.kernel.ids import uuid7
from monohull.kernel.outbound import OutboundFailed, OutboundLimits

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from monohull.kernel.database.engine import Database
    from monohull.kernel.outbound import Outbound

DATABASE_SECONDS: Final = 2.0
CALL_SECONDS: Final = 5.0
QUERY_CANCELED: Final = "57014"
ATTEMPTS: Final = 3
RETRY_SECONDS: Final = 0.5
RETRIED: Final = frozenset({429, 503})
REPLY_BYTES: Final = 200_000
LIMITS: Final = OutboundLimits(
    connect_seconds=2, read_seconds=CALL_SECONDS, total_seconds=CALL_SECONDS, response_bytes=REPLY_BYTES
)

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_$]{0,62}"
_DATABASE: Final = re.compile(rf"pg-functions://postgres/({_NAME})/({_NAME})")
_PYTHON: Final = re.compile(r"python://((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)/([A-Za-z_]\w*)")
_SECRET: Final = re.compile(r"v1,whsec_([A-Za-z0-9+/=]+)")


class NoAnswer(Exception):
    """The hook's answer is not one: a wrong status, no JSON object."""


class Caller(Protocol):
    """Asks one hook.

    Attributes:
        seconds: How long it may take.
        joins: Whether it is asked within the caller's transaction, and has to be quick about it.
    """

    seconds: float
    joins: bool

    async def call(self, payload: Mapping[str, Any], work: AsyncSession | None) -> Mapping[str, Any]:
        """Return the hook's answer. Whatever it raises means that there was none."""
        ...


class DatabaseCaller:
    """``pg-functions://postgres/<schema>/<function>``: called with ``jsonb``, in the caller's transaction.

    So it sees the user who is just being created. It runs as the owner of the platform's tables.
    """

    seconds = DATABASE_SECONDS
    joins = True

    def __init__(self, database: Database, schema: str, function: str) -> None:
        self._database = database
        self._call = text(f'select "{schema}"."{function}"(cast(:payload as jsonb))::text')

    async def call(self, payload: Mapping[str, Any], work: AsyncSession | None) -> Mapping[str, Any]:
        """Return what the function returns."""
        if work is not None:
            return await self._within(work, payload)
        async with self._database.unit_of_work() as own:
            return await self._within(own, payload)

    async def _within(self, work: AsyncSession, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        before = (await work.execute(text("select current_setting('statement_timeout')"))).scalar_one()
        await self._limit(work, f"{int(self.seconds * 1000)}ms")
        try:
            answer = await work.execute(self._call, {"payload": msgspec.json.encode(payload).decode()})
        except DBAPIError as error:
            if getattr(driver_error(error), "sqlstate", None) == QUERY_CANCELED:
                raise TimeoutError from error
            raise
        found = answer.scalar_one()
        await self._limit(work, before)
        return as_object(found or "{}")

    @staticmethod
    async def _limit(work: AsyncSession, value: str) -> None:
        await work.execute(text("select set_config('statement_timeout', :value, true)"), {"value": value})


class HttpCaller:
    """An endpoint that gets a signed POST, as Standard Webhooks has it."""

    seconds = CALL_SECONDS
    joins = False

    def __init__(self, outbound: Outbound, url: str, secrets: str | None) -> None:
        self._outbound = outbound
        self._url = url
        self._secrets = read_secrets(secrets)

    async def call(self, payload: Mapping[str, Any], work: AsyncSession | None) -> Mapping[str, Any]:
        """Return the body of the answer; one that says "later" is asked again."""
        del work
        body = msgspec.json.encode(payload)
        headers = {"Content-Type": "application/json", **sign(body, self._secrets)}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                reply = await self._outbound.request(
                    "POST", self._url, headers=headers, body=body, limits=LIMITS, is_told_trace=True
                )
            except OutboundFailed:
                if attempt == ATTEMPTS:
                    raise
            else:
                if reply.status in (200, 202, 204):
                    return as_object(reply.body.decode() or "{}")
                if reply.status not in RETRIED or attempt == ATTEMPTS:
                    raise NoAnswer(f"the endpoint answered {reply.status}")
            await asyncio.sleep(RETRY_SECONDS)
        raise NoAnswer("the endpoint does not answer")


class PythonCaller:
    """A coroutine function, or a plain one, which then runs in a thread."""

    seconds = CALL_SECONDS
    joins = False

    def __init__(self, function: Callable[[Mapping[str, Any]], Any]) -> None:
        self._function = function

    async def call(self, payload: Mapping[str, Any], work: AsyncSession | None) -> Mapping[str, Any]:
        """Return what the function returns; None is an empty answer."""
        del work
        if inspect.iscoroutinefunction(self._function):
            found = await self._function(payload)
        else:
            found = await asyncio.to_thread(self._function, payload)
        if not isinstance(found, Mapping | None):
            raise NoAnswer(f"it returned {type(found).__name__}, which is no mapping")
        return found or {}


def build_caller(uri: str, secrets: str | None, database: Database, outbound: Outbound) -> Caller:
    """Return the way to call the hook at ``uri``.

    Raises:
        ValueError: It cannot be called; the text says why.
    """
    if uri.startswith("pg-functions://"):
        if (match := _DATABASE.fullmatch(uri)) is None:
            raise ValueError("write pg-functions://postgres/<schema>/<function>")
        return DatabaseCaller(database, match[1], match[2])
    if uri.startswith("python://"):
        return PythonCaller(find_function(uri))
    if secrets is None:
        raise ValueError("an HTTP hook needs secrets to sign with: v1,whsec_<base64>")
    return HttpCaller(outbound, uri, secrets)


def find_function(uri: str) -> Callable[[Mapping[str, Any]], Awaitable[Any]]:
    """Import the function that ``python://<package.module>/<function>`` names.

    Raises:
        ValueError: There is none.
    """
    match = _PYTHON.fullmatch(uri)
    if match is None:
        raise ValueError("write python://<package.module>/<function>")
    try:
        function = getattr(import_module(match[1]), match[2])
        inspect.signature(function)
    except (ImportError, AttributeError, TypeError) as error:
        raise ValueError(f"there is no such function: {error}") from error
    found: Callable[[Mapping[str, Any]], Awaitable[Any]] = function
    return found


def read_secrets(text_: str | None) -> tuple[bytes, ...]:
    """Read ``v1,whsec_…|v1,whsec_…``.

    Raises:
        ValueError: One of them is not of this form.
    """
    found = []
    for part in (text_ or "").split("|"):
        if (match := _SECRET.fullmatch(part.strip())) is None:
            raise ValueError("a secret has the form v1,whsec_<base64>")
        found.append(base64.b64decode(match[1], validate=True))
    return tuple(found)


def sign(body: bytes, secrets: tuple[bytes, ...]) -> dict[str, str]:
    """Return the headers that prove who sent ``body``, and when.

    Source: Standard Webhooks, "signature scheme".
    """
    message_id, timestamp = f"msg_{uuid7().hex}", str(clock.unix_seconds())
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(secret, signed, hashlib.sha256) for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }


def as_object(answer: str) -> Mapping[str, Any]:
    """Decode a JSON object.

    Raises:
        NoAnswer: It is none.
    """
    try:
        return msgspec.json.decode(answer, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise NoAnswer(f"the answer is no JSON object: {error}") from error
