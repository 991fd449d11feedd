"""Calls that nobody waits for, in the worker: run one, and keep what it answered.

    claimed job → the statement as it was compiled, under the caller's settings → its answer, kept

The answer is kept by the function's own transaction, whose last statement it is. So whatever happens to the
worker, either all of the function took effect and its answer is there, or nothing did and it is called again.
A function that may not write runs again at will, and its answer is kept afterwards.
"""

from __future__ import annotations

import base64
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import text

from modules.query import guarded
from modules.rest.errors import wire_code
from modules.rest.events import SensitiveColumnsRead
from modules.rest.guc import ResponseStatusInvalid, parse_status
from modules.rest.raised import refusal
from modules.rest.settings import RestSettings
from modules.rest.veil import veil
from monohull.kernel import outbox
from monohull.kernel.database.data import ResultExceedsCeiling
from monohull.kernel.database.frames import PostgresError
from monohull.kernel.database.statements import BoundSettings, Isolation, Statement
from monohull.kernel.queues import Backoff, GiveUp, job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.errors import Problem
    from monohull.kernel.runtime import Runtime

QUEUE: Final = "calls"
"""Of their own, so that long functions hold up no other job."""
LONGEST_SECONDS: Final = 3600
SPARE_SECONDS: Final = 30
MAX_ATTEMPTS: Final = 5

OVER: Final = "MHEND"
"""SQLSTATE of `monohull.keep_answer` for a call that has its answer, or whose job is over."""
_TRANSIENT: Final = frozenset({"40001", "40P01", "55P03"})
"""Serialization failure, deadlock, lock not available: nothing took effect, the next time may be better."""

_ANSWER: Final = "monohull.answer"
_CHECK: Final = Statement("SET CONSTRAINTS ALL IMMEDIATE")
_KEEP: Final = f"select monohull.keep_answer($1::uuid, pg_catalog.current_setting('{_ANSWER}', true))"
_BECOME: Final = "select pg_catalog.set_config('role', $1, true)"

_FIND: Final = "select request, answer from monohull.async_calls where id = $1"
_KEEP_LATE: Final = "select monohull.keep_answer($1, $2)"
_REFUSE: Final = "update monohull.async_calls set refusal = $2 where id = $1"
_END: Final = text(
    """
    update monohull.async_calls
    set request = null, answer = null, refusal = null, status = :status, content_type = :content_type,
        encoding = :encoding, result = :result
    where id = :id and request is not null
    returning 1
    """
)


class Reading(Struct, frozen=True):
    """What the audit log is told of columns that are marked as sensitive."""

    relation: str
    columns: tuple[str, ...]
    filters: tuple[str, ...]


class PromisedCall(Struct, frozen=True, kw_only=True):
    """A call as it is kept until it is over.

    Attributes:
        sql: The statement whose one row is the answer.
        args: Its values.
        before: Statements that run first, with their values.
        names: Of the settings.
        values: Of the settings, as Bind has them.
        is_read_only: The function may not write.
        commits: Whether the transaction does.
        isolation: Of the transaction.
        hidden: Columns that the caller is not told of; None where it is not limited.
        content_type: Of the answer.
        is_json: Whether the answer is JSON.
        is_binary: Whether it is bytes, in hexadecimal digits.
        is_void: Whether there is none.
        asides: How many settings stand between the counts and the document.
        reading: What it reads that is sensitive.
    """

    sql: str
    args: list[bytes | None]
    before: list[tuple[str, list[bytes | None]]]
    names: list[str]
    values: bytes
    is_read_only: bool
    commits: bool
    isolation: Isolation | None
    hidden: list[str] | None
    content_type: str
    is_json: bool
    is_binary: bool
    is_void: bool
    asides: int
    reading: Reading | None

    @property
    def settings(self) -> BoundSettings:
        return BoundSettings(tuple(self.names), self.values, self.is_read_only)

    def statements(self) -> list[Statement]:
        """Return what runs: all that the answer says goes into one setting, from where it can be kept."""
        columns = [f"c{number}" for number in range(3 + self.asides)]
        told = ", ".join(f"_answer.{column}::text" for column in columns)
        answering = (
            f"select pg_catalog.set_config('{_ANSWER}', "  # noqa: S608 compiled, or of our own text
            f"pg_catalog.json_build_array({told})::text, true) "
            f"from ({self.sql}) as _answer ({', '.join(columns)})"
        )
        before = [Statement(sql, args) for sql, args in self.before]
        return [*before, Statement(answering, self.args)]


class Said(Struct, frozen=True):
    """What the client is told of an answer."""

    status: int
    content_type: str | None
    encoding: str | None
    result: str | None


class CallFailed(Exception):
    """Nothing of the function took effect, and another attempt may succeed."""


@job(
    "rest.call",
    max_attempts=MAX_ATTEMPTS,
    timeout_seconds=LONGEST_SECONDS + SPARE_SECONDS,
    queue=QUEUE,
    backoff=Backoff(base_seconds=1, max_seconds=60),
)
async def call_function(runtime: Runtime, *, call_id: str) -> None:
    """Call the function, and keep its answer or what was refused."""
    id_ = UUID(call_id)
    row = await runtime.database.run(_FIND, id_)
    if row is None or row["request"] is None:
        return
    call = msgspec.msgpack.decode(row["request"], type=PromisedCall)
    try:
        answer = row["answer"] or await _run(runtime, id_, call)
    except PostgresError as error:
        kept = await _answer_of_another(runtime, id_)
        if kept is None:
            raise await _refused(runtime, id_, call, error) from error
        answer = kept
    except ResultExceedsCeiling as problem:
        raise await _give_up(runtime, id_, problem) from problem
    if not answer:
        return
    try:
        said, rows = read_answer(call, answer)
    except ResponseStatusInvalid as problem:
        raise await _give_up(runtime, id_, problem) from problem
    await _end(runtime, id_, call, said, rows)


async def _run(runtime: Runtime, id_: UUID, call: PromisedCall) -> str:
    """Return the row of the answer as JSON, once it is kept."""
    keeps_itself = call.commits and not call.is_read_only
    statements = call.statements()
    at = len(statements) - 1
    statements.append(_CHECK)
    if keeps_itself:
        if runtime.data.login is None:
            await runtime.data.open()
        keeper = runtime.data.effective_role("service_role")
        statements += [Statement(_BECOME, (keeper,)), Statement(_KEEP, (str(id_),))]
    results = await runtime.data.run_batch(
        statements, settings=call.settings, commit=call.commits, isolation=call.isolation
    )
    answer = (results[at].rows[0][0] or b"").decode()
    if not keeps_itself:
        await _keep_late(runtime, id_, answer)
    return answer


async def _keep_late(runtime: Runtime, id_: UUID, answer: str) -> None:
    await runtime.data.run(
        _KEEP_LATE, (str(id_), answer), settings=(("role", runtime.data.effective_role("service_role")),)
    )


def read_answer(call: PromisedCall, answer: str) -> tuple[Said, int]:
    """Return what the client is told, and how many rows are in it.

    Raises:
        ResponseStatusInvalid: PGRST112, the function set a status that is none.
    """
    row = msgspec.json.decode(answer, type=list[str | None])
    document, rows = row[-1] or "", int(row[1] or 0)
    chosen = row[3] if call.asides else None  # behind the headers that it set
    status = parse_status(chosen.encode()) if chosen else 204 if call.is_void else 200
    if call.is_void:
        return Said(status, None, None, None), rows
    if call.is_binary:
        encoded = base64.b64encode(bytes.fromhex(document)).decode()
        return Said(status, call.content_type, "base64", msgspec.json.encode(encoded).decode()), rows
    result = document if call.is_json else msgspec.json.encode(document).decode()
    return Said(status, call.content_type, None, result), rows


async def _end(runtime: Runtime, id_: UUID, call: PromisedCall, said: Said, rows: int) -> None:
    """Write down what the client is told, and forget what was asked; once."""
    async with runtime.database.unit_of_work() as work:
        ended = await work.execute(_END, {"id": id_, **msgspec.structs.asdict(said)})
        if ended.first() is not None and (reading := call.reading) is not None:
            read = SensitiveColumnsRead(
                relation=reading.relation,
                columns=reading.columns,
                rows=rows,
                filters=reading.filters,
                method="POST",
            )
            await outbox.publish(work, read)


async def _answer_of_another(runtime: Runtime, id_: UUID) -> str | None:
    """Return what another attempt answered that a worker made which was taken for dead; None for no such.

    It is empty when that attempt has seen to everything.
    """
    row = await runtime.database.run(_FIND, id_)
    if row is None or row["request"] is None:
        return ""
    answer: str | None = row["answer"]
    return answer


async def _refused(runtime: Runtime, id_: UUID, call: PromisedCall, error: PostgresError) -> Exception:
    """Return what the database's refusal means: that there is another attempt, or none."""
    if error.sqlstate == OVER:
        return GiveUp("the call was over before its function was")
    shown = error if call.hidden is None else veil(error, call.hidden)
    problem = guarded(error) or refusal(shown, anonymous=False)
    if error.sqlstate in _TRANSIENT or error.is_outage:
        await _note(runtime, id_, problem)
        return CallFailed(str(error))
    return await _give_up(runtime, id_, problem)


async def _give_up(runtime: Runtime, id_: UUID, problem: Problem) -> GiveUp:
    await _note(runtime, id_, problem)
    return GiveUp(f"{wire_code(problem)}: {problem.message}")


async def _note(runtime: Runtime, id_: UUID, problem: Problem) -> None:
    """Keep what the client is told if this attempt was the last."""
    told = {
        "code": wire_code(problem),
        "details": problem.details,
        "hint": problem.hint,
        "message": problem.message,
        "status": int(problem.status),
    }
    await runtime.database.run(_REFUSE, id_, msgspec.json.encode(told).decode())


@asynccontextmanager
async def in_worker(runtime: Runtime) -> AsyncIterator[None]:
    """Let the worker's data requests go by what the settings say of them."""
    if not runtime.settings.of(RestSettings).prepared_statements:
        runtime.data.keep_nothing_prepared()
    yield
