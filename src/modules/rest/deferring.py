"""``Prefer: respond-async``: promise a call and answer at once where its client may see what came of it.

    POST /rest/v1/rpc/close_month       Prefer: respond-async
    202   Location: /platform/v1/calls/…   Preference-Applied: respond-async

The call is compiled as any other, so what does not fit the catalog is refused at once. What is kept of it is
its statement with the values, and the settings of its caller, without the headers that are credentials: it
runs as the caller was when the call was sent.

The preference is passed over, and the call answered as any other, where it has an ``Idempotency-Key``,
where nobody could be recognised who asks for the answer (whoever acts as the anonymous role), with GET and
HEAD, for a plan, and where the settings allow no such calls.

Source: RFC 7240, section 4.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import text

from modules.query import Call, MediaHandler
from modules.rest.audited import with_origin
from modules.rest.body import INVALID, is_json
from modules.rest.dtos import CallView, Refusal
from modules.rest.errors import BodyInvalid, TooManyCalls
from modules.rest.preferences import CALL
from modules.rest.promised import LONGEST_SECONDS, PromisedCall, Reading, call_function
from modules.rest.response import Answer
from monohull.kernel.database.frames import encode_value
from monohull.kernel.database.statements import BoundSettings
from monohull.kernel.errors import BodyTooLarge, NotFound, Unauthenticated
from monohull.kernel.header_sets import HeaderSet
from monohull.kernel.ids import uuid7
from monohull.kernel.principal import PrincipalKind
from monohull.kernel.queues import enqueue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from modules.query import Compiled
    from modules.rest.asgi import DataApi
    from modules.rest.rehearsal import Answers, Prepared
    from modules.rest.request import ApiRequest
    from modules.rest.timing import Stopwatch
    from monohull.kernel.principal import Principal
    from monohull.kernel.runtime import Runtime

SERVICE: Final = "service"
LOCATION: Final = "/platform/v1/calls/"
ABSENT: Final = "No call of yours has this id."
APPLIED: Final = "respond-async"
MAX_REQUEST_BYTES: Final = 4_194_304
MAX_UNFINISHED: Final = 100
"""Calls of one caller that wait or run."""

CREDENTIALS: Final = frozenset(
    {
        b"authorization",
        b"apikey",
        b"cookie",
        b"proxy-authorization",
        b"x-api-key",
        b"x-forwarded-authorization",
    }
)
"""Headers that nothing keeps, and that the function so does not see."""

_UNFINISHED: Final = text(
    """
    select count(*) from monohull.async_calls as c join monohull.jobs as j on j.id = c.job_id
    where c.caller = :caller and c.request is not null and j.done_at is null
    """
)
_PROMISE: Final = text(
    """
    insert into monohull.async_calls (id, job_id, caller, function, request)
    values (:id, :job_id, :caller, :function, :request)
    """
)
_VIEW: Final = """
    select c.caller, c.id, c.job_id, c.function, j.attempts, c.status, c.content_type, c.encoding, c.result,
        case when j.outcome = 'dead' then c.refusal::text end as refusal, c.answer is not null as is_kept,
        case when j.outcome is not null then j.outcome when j.worker is not null then 'running'
            else 'queued' end as state,
        j.created_at, j.started_at, j.done_at
    from monohull.async_calls as c join monohull.jobs as j on j.id = c.job_id
    where c.id = $1
"""
_UNEXPLAINED: Final = Refusal(
    code="call_failed",
    message="The function could not be called, or took too long.",
    hint="Send the call again; nothing of it took effect.",
)
_UNTOLD: Final = Refusal(
    code="call_failed", message="The function took effect; its worker died before its answer was read."
)


class Calls:
    """The calls of this instance that nobody waits for.

    Args:
        runtime: Of the process.
        api: Compiles them.
    """

    def __init__(self, runtime: Runtime, api: DataApi) -> None:
        self._runtime = runtime
        self._api = api

    async def answer(
        self,
        answers: Answers,
        scope: Mapping[str, Any],
        request: ApiRequest,
        principal: Principal,
        watch: Stopwatch,
    ) -> Answer:
        """Promise a call, or have ``answers`` answer it; see `Deferral`.

        Raises:
            Problem: As `defer` raises it, or ``answers``.
        """
        promised = await self.defer(scope, request, principal)
        return promised or await answers(scope, request, principal, watch)

    async def defer(
        self, scope: Mapping[str, Any], request: ApiRequest, principal: Principal
    ) -> Answer | None:
        """Promise a call, and return the answer that says so; None where it is to be answered as any other.

        Raises:
            BodyInvalid: PGRST102. BodyTooLarge: 413. TooManyCalls: MH115.
            Problem: What `DataApi.prepare` refuses.
        """
        asked, caller = request.asked, self._name_of(principal)
        if caller is None or not isinstance(asked, Call) or asked.is_read:
            return None
        seconds = self._api.settings.async_timeout_seconds
        if request.media.explain is not None or not seconds:
            return None
        prepared = await self._api.prepare(without_credentials(scope), request, principal)
        refuse_body(prepared.request)
        if prepared.compiled.is_audited:
            transaction = with_origin(prepared.transaction, scope)
            prepared = msgspec.structs.replace(prepared, transaction=transaction)
        call = msgspec.msgpack.encode(promised(prepared, timeout_seconds=seconds))
        if len(call) > MAX_REQUEST_BYTES:
            raise BodyTooLarge(
                f"The call has {len(call)} bytes; {MAX_REQUEST_BYTES} are kept of one that nobody waits for.",
                hint="Put a large document into a table, and give the function its id.",
            )
        id_ = await self._promise(caller, f"{asked.schema}.{asked.function}", call)
        return _accepted(request, await self._find(id_))

    async def view(self, id_: UUID, principal: Principal) -> CallView:
        """Return a call of ``principal``.

        Raises:
            Unauthenticated: 401, nobody asks. NotFound: 404, it has none of this id.
        """
        caller = self._name_of(principal)
        if caller is None:
            raise Unauthenticated("Calls are shown to whoever sent them.")
        return await self._find(id_, caller)

    def _name_of(self, principal: Principal) -> str | None:
        return name_of(principal, anonymous=self._api.settings.anon_role)

    async def _promise(self, caller: str, function: str, call: bytes) -> UUID:
        async with self._runtime.database.unit_of_work() as work:
            unfinished: int = (await work.execute(_UNFINISHED, {"caller": caller})).scalar_one()
            if unfinished >= MAX_UNFINISHED:
                raise TooManyCalls(unfinished)
            id_ = uuid7()
            job_id = await enqueue(work, call_function, call_id=str(id_))
            columns = {"id": id_, "job_id": job_id, "caller": caller, "function": function, "request": call}
            await work.execute(_PROMISE, columns)
        return id_

    async def _find(self, id_: UUID, caller: str | None = None) -> CallView:
        row = await self._runtime.database.run(_VIEW, id_)
        if row is None or (caller is not None and caller not in (row["caller"], SERVICE)):
            raise NotFound(ABSENT)
        return _view(row)


def name_of(principal: Principal, *, anonymous: str | None) -> str | None:
    """Name the caller by what it will be recognised by; None for one that nobody could recognise.

    A key stands for itself, whoever owns it: it may be limited, and its owner's other calls are not its own.
    """
    if principal.kind is PrincipalKind.SERVICE:
        return SERVICE
    if principal.role == anonymous:
        return None
    if principal.key_id is not None:
        return f"key {principal.key_id}"
    return None if principal.subject is None else f"user {principal.subject}"


def without_credentials(scope: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the scope with the headers that may be kept, and nothing remembered of the others."""
    headers = [(name, value) for name, value in scope["headers"] if name.lower() not in CREDENTIALS]
    state = scope["state"]
    kept = HeaderSet(headers, None, state["headers"].credentials)
    return {**scope, "headers": headers, "state": {**state, "headers": kept}}


def refuse_body(request: ApiRequest) -> None:
    """Let a body pass that is JSON, where it has to be; the database would find that out too late.

    Raises:
        BodyInvalid: PGRST102.
    """
    asked = request.asked
    if isinstance(asked, Call) and asked.content == "json" and asked.body is not None:
        body = request.values[asked.body]
        if isinstance(body, bytes) and not is_json(body):
            raise BodyInvalid(INVALID)


def promised(prepared: Prepared, *, timeout_seconds: int) -> PromisedCall:
    """Return what is kept of a call."""
    request, compiled, transaction = prepared.request, prepared.compiled, prepared.transaction
    settings = transaction.settings
    assert isinstance(settings, BoundSettings)
    names, values = list(settings.names), settings.values
    routine = compiled.routine
    if routine is None or "statement_timeout" not in dict(routine.settings):
        milliseconds = min(timeout_seconds, LONGEST_SECONDS) * 1000
        names, values = [*names, "statement_timeout"], values + encode_value(str(milliseconds))
    shape = request.media.shape
    return PromisedCall(
        sql=compiled.statement.text,
        args=_bytes(compiled.statement.choose(request.values)),
        before=[(one.sql, _bytes(one.args)) for one in transaction.before],
        names=names,
        values=values,
        is_read_only=compiled.is_read_only,
        commits=transaction.commit,
        isolation=transaction.isolation,
        hidden=None if prepared.hidden is None else sorted(prepared.hidden),
        content_type=request.media.content_type,
        is_json=not isinstance(shape, MediaHandler) and shape != "csv",
        is_binary=compiled.is_binary,
        is_void=routine is not None and routine.is_void,
        asides=compiled.asides,
        reading=_reading(request, compiled),
    )


def _reading(request: ApiRequest, compiled: Compiled) -> Reading | None:
    if not compiled.sensitive:
        return None
    asked = request.asked
    assert isinstance(asked, Call)
    return Reading(f"{asked.schema}.{asked.function}", compiled.sensitive, compiled.filters)


def _bytes(values: Iterable[str | bytes | None]) -> list[bytes | None]:
    return [value.encode() if isinstance(value, str) else value for value in values]


def _accepted(request: ApiRequest, view: CallView) -> Answer:
    body = msgspec.json.encode(view)
    applied = ", ".join(filter(None, (APPLIED, request.preferences.applied(CALL))))
    headers = [
        (b"location", f"{LOCATION}{view.id}".encode()),
        (b"preference-applied", applied.encode("latin-1", "replace")),
        (b"content-type", b"application/json; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    return Answer(202, headers, body)


def _view(row: Mapping[str, Any]) -> CallView:
    refusal = None
    if row["state"] == "dead":
        refusal = _UNTOLD if row["is_kept"] else _UNEXPLAINED
        if not row["is_kept"] and (told := row["refusal"]) is not None:
            refusal = msgspec.json.decode(told, type=Refusal)
    result: str | None = row["result"]
    return CallView(
        id=row["id"],
        job_id=row["job_id"],
        function=row["function"],
        state=row["state"],
        attempts=row["attempts"],
        status=row["status"],
        content_type=row["content_type"],
        encoding=row["encoding"],
        result=None if result is None else msgspec.Raw(result.encode()),
        error=refusal,
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["done_at"],
    )
