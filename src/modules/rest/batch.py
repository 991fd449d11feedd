"""`Batch`: several requests in one transaction, all or nothing.

    POST /rest/v1/_batch        Prefer: isolation=serializable, retry=3

The steps run in order, each as if it had been sent by itself: the same parsing,
rights, policies and answers. The first that is refused undoes all of them, and
the answer is that refusal, with the step in ``Batch-Step``. With ``retry`` a
batch that met another transaction (40001, 40P01) is begun anew. It may have an
``Idempotency-Key``.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol
from urllib.parse import unquote

import msgspec
from msgspec import Raw

from modules.rest.batch_errors import BatchInvalid, BatchTooLarge, BatchTooSlow
from modules.rest.batch_steps import RESERVED, Answers, Step, parse_steps
from modules.rest.body import is_json
from modules.rest.conversing import converse
from modules.rest.errors import JSON, wire_code
from modules.rest.head import PREFIX
from modules.rest.idempotency import key_of
from modules.rest.metrics import BATCH_TRIES, BATCHES
from modules.rest.response import Answer, outdated_warning
from monohull.kernel.database.data import PostgresError
from monohull.kernel.errors import Problem
from monohull.kernel.header_sets import HeaderSet
from monohull.kernel.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modules.query import DataSource
    from modules.rest.gate import Gate
    from modules.rest.idempotency import Once
    from modules.rest.request import ApiRequest
    from modules.rest.settings import RestSettings
    from monohull.kernel.database.conversation import Conversation
    from monohull.kernel.database.data import DataPool, Isolation
    from monohull.kernel.metrics import Metrics
    from monohull.kernel.observation import Observer, Reader
    from monohull.kernel.principal import Principal

PATH: Final = f"{PREFIX}/_batch"
STEP_HEADER: Final = "Batch-Step"
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
MAX_RETRIES: Final = 5

_CONDITIONS: Final = frozenset({"if-match", "if-none-match"})
_COLLISIONS: Final = frozenset({"40001", "40P01"})
_ISOLATIONS: Final[Mapping[str, Isolation]] = {
    "read-committed": "read committed",
    "repeatable-read": "repeatable read",
    "serializable": "serializable",
}
_WISH: Final = re.compile(r"(isolation|retry)=([\w-]+)")
_OF_THE_BATCH: Final = frozenset(
    {
        *(name.encode() for name in RESERVED - {"authorization", "apikey", "cookie", "host"}),
        *(
            b"accept",
            b"accept-profile",
            b"content-profile",
            b"content-type",
            b"prefer",
            b"range",
            b"if-match",
            b"if-none-match",
        ),
    }
)
"""Headers of the batch that are not its steps'."""


class BatchAnswered(Observation, frozen=True, kw_only=True):
    """A batch took effect, or none of it did."""

    event = "rest.batch_answered"
    level = "debug"

    outcome: Literal["done", "refused"]
    steps: int
    tries: int
    request_id: str


class DataAnswers(Protocol):
    """What a batch needs of the data API; `DataApi` has it."""

    @property
    def settings(self) -> RestSettings: ...

    @property
    def gate(self) -> Gate: ...

    def parse(self, scope: Mapping[str, Any], body: bytes) -> ApiRequest: ...

    async def respond(
        self,
        scope: Mapping[str, Any],
        request: ApiRequest,
        principal: Principal,
        *,
        body: bytes,
        source: DataSource | None = None,
    ) -> Answer: ...

    def refused(self, error: PostgresError, principal: Principal) -> Problem: ...


class Batch:
    """Answers batches.

    Args:
        pool: Where they run.
        once: Answers those that came with a key.
        observer: Is told what became of each.
    """

    def __init__(self, pool: DataPool, once: Once, observer: Observer) -> None:
        self._pool = pool
        self._once = once
        self._observer = observer

    async def answer(
        self, api: DataAnswers, scope: Mapping[str, Any], body: bytes, principal: Principal
    ) -> Answer:
        """Run the steps in ``body``; return all their answers as one.

        Raises:
            BatchInvalid: 400, it is no batch. BatchTooSlow: 504. BatchTooLarge: 422. Nothing took effect.
            Problem: The refusal of a step; nothing took effect.
        """
        settings = api.settings
        steps = parse_steps(body, settings.batch_steps)
        isolation, left = _wishes(scope["headers"])
        if any(_CONDITIONS & {name.lower() for name in step.headers} for step in steps):
            if isolation == "read committed":
                raise BatchInvalid("A step with If-Match or If-None-Match needs a stricter isolation.")
            isolation = isolation or "repeatable read"
        tries = 0
        is_done = False
        try:
            while True:
                tries += 1
                try:
                    async with asyncio.timeout(settings.batch_seconds):
                        answer = await self._try(api, scope, body, principal, steps, isolation)
                except TimeoutError as error:
                    raise BatchTooSlow(settings.batch_seconds) from error
                except Problem as problem:
                    if tries > left or wire_code(problem) not in _COLLISIONS:
                        raise
                else:
                    is_done = True
                    return answer
        finally:
            request_id: str = scope["state"]["request_id"]
            self._observer.observe(
                BatchAnswered(
                    outcome="done" if is_done else "refused",
                    steps=len(steps),
                    tries=tries,
                    request_id=request_id,
                )
            )

    async def _try(  # noqa: PLR0913, PLR0917 a batch has these parts
        self,
        api: DataAnswers,
        scope: Mapping[str, Any],
        body: bytes,
        principal: Principal,
        steps: Sequence[Step],
        isolation: Isolation | None,
    ) -> Answer:
        async def run(source: DataSource) -> Answer:
            return await _run(api, scope, principal, steps, source)

        async def run_all(talk: Conversation) -> Answer:
            answer = await run(talk)
            await talk.finish()
            return answer

        try:
            if key_of(scope["headers"]) is not None:
                return await self._once.answer(scope, body, principal, run, isolation=isolation)
            return await converse(self._pool, run_all, isolation=isolation)
        except PostgresError as error:
            raise api.refused(error, principal) from error


async def _run(
    api: DataAnswers,
    scope: Mapping[str, Any],
    principal: Principal,
    steps: Sequence[Step],
    source: DataSource,
) -> Answer:
    """Run the steps on ``source``; return their answers as one.

    Raises:
        Problem: The refusal of a step, which it names.
    """
    earlier = Answers()
    own = [pair for pair in scope["headers"] if pair[0] not in _OF_THE_BATCH]
    documents: list[Mapping[str, Any]] = []
    size = 0
    for number, step in enumerate(steps):
        try:
            own_scope = _scope_of(scope, own, step, earlier)
            answer = await _answer_step(api, own_scope, principal, step, source, earlier)
        except Problem as problem:
            problem.headers = {**problem.headers, STEP_HEADER: str(number)}
            raise
        assert isinstance(answer.body, bytes)
        if (size := size + len(answer.body)) > MAX_ANSWER_BYTES:
            raise BatchTooLarge(MAX_ANSWER_BYTES)
        earlier.add(number, step.name, answer.body)
        documents.append(_document(answer))
    body = msgspec.json.encode(documents)
    return Answer(200, [(b"content-type", JSON.encode()), (b"content-length", b"%d" % len(body))], body)


async def _answer_step(  # noqa: PLR0913, PLR0917 a step has these parts
    api: DataAnswers,
    scope: Mapping[str, Any],
    principal: Principal,
    step: Step,
    source: DataSource,
    earlier: Answers,
) -> Answer:
    api.gate.admit(principal, scope)
    body = _body(scope, step, earlier)
    request = api.parse(scope, body)
    if request.head.kind == "root":
        raise BatchInvalid("A step asks for the root, which only a request of its own can.")
    answer = await api.respond(scope, request, principal, body=body, source=source)
    if request.outdated:
        answer.headers.append(outdated_warning(request.outdated))
    return answer


def _scope_of(
    scope: Mapping[str, Any], own: Sequence[tuple[bytes, bytes]], step: Step, earlier: Answers
) -> Mapping[str, Any]:
    """Return the step as a request of its own, by the one who sent the batch."""
    path, _, query = earlier.path(step).partition("?")
    raw_path = PREFIX + path.removeprefix(PREFIX)
    pairs = {name.lower().encode(): value.encode("latin-1") for name, value in step.headers.items()}
    if step.body:
        pairs.setdefault(b"content-type", b"application/json")
    headers = (*own, *pairs.items())
    by_name = dict(headers)
    credentials = scope["state"]["credentials"]
    kept = HeaderSet(headers, by_name if len(by_name) == len(headers) else None, credentials)
    return {
        **scope,
        "method": step.method,
        "path": unquote(raw_path, errors="replace"),
        "raw_path": raw_path.encode(),
        "query_string": query.encode(),
        "headers": headers,
        "state": {**scope["state"], "headers": kept},
    }


def _body(scope: Mapping[str, Any], step: Step, earlier: Answers) -> bytes:
    """Return the body as the step would have sent it by itself."""
    media = dict(scope["headers"]).get(b"content-type", b"").partition(b";")[0].strip()
    body = earlier.body(step)
    if not body or media == b"application/json" or media.endswith(b"+json"):
        return body
    try:
        return msgspec.json.decode(body, type=str).encode()
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        message = "A body of another media type than JSON is a string that holds it."
        raise BatchInvalid(message) from error


def _document(answer: Answer) -> Mapping[str, Any]:
    """Return an answer as a part of the batch's own: JSON as it is, text as a string, else base64."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
    headers.pop("content-length", None)
    found: dict[str, Any] = {"status": answer.status, "headers": headers}
    body = answer.body
    assert isinstance(body, bytes)
    if not body:
        return {**found, "body": None}
    if "json" in headers.get("content-type", "") and is_json(body):
        return {**found, "body": Raw(body)}
    try:
        return {**found, "body": body.decode()}
    except UnicodeDecodeError:
        return {**found, "body": b64encode(body).decode(), "encoding": "base64"}


def _wishes(headers: Sequence[tuple[bytes, bytes]]) -> tuple[Isolation | None, int]:
    """Return isolation and number of retries that ``Prefer`` asks for.

    Raises:
        BatchInvalid: 400, it asks for what there is not.
    """
    text = ",".join(value.decode("latin-1") for name, value in headers if name == b"prefer")
    found = (_WISH.fullmatch(wish.strip()) for wish in text.split(","))
    wishes: dict[str, str] = {wish[1]: wish[2] for wish in found if wish is not None}
    isolation, retry = wishes.get("isolation"), wishes.get("retry", "0")
    if isolation is not None and isolation not in _ISOLATIONS:
        raise BatchInvalid(f"There is no isolation {isolation}; there are {', '.join(_ISOLATIONS)}.")
    if not (retry.isascii() and retry.isdigit() and int(retry) <= MAX_RETRIES):
        raise BatchInvalid(f"A batch is begun anew 0 to {MAX_RETRIES} times, not {retry}.")
    return None if isolation is None else _ISOLATIONS[isolation], int(retry)


def batch_metrics(metrics: Metrics) -> Reader:
    """Return the reader that counts batches."""
    batches, tried = metrics.counter(BATCHES), metrics.counter(BATCH_TRIES)

    def read(observation: Observation) -> None:
        if isinstance(observation, BatchAnswered):
            batches.labels(observation.outcome).inc()
            tried.inc(observation.tries)

    return read
