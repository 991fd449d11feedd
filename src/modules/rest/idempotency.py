"""`Once`: a write with an ``Idempotency-Key`` takes effect once, however often it is sent.

    POST /rest/v1/orders        Idempotency-Key: 8e03978e-40d5-43dd-bc93-6894a57f9324

The key is claimed, the write done and its answer kept in one transaction. So a
client that never saw the answer sends the same request again and gets that
answer, also when the process died between COMMIT and the answer. Whoever sends
the same at the same time waits for the first. What failed left nothing behind,
the claim included: the key may be used again.

Keys belong to who sends them. What only reads has nothing to be kept.

Source: draft-ietf-httpapi-idempotency-key-header-07.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from modules.rest.conversing import converse
from modules.rest.idempotency_errors import (
    AnswerTooLarge,
    IdempotencyKeyInUse,
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
)
from modules.rest.metrics import IDEMPOTENT_WRITES
from modules.rest.response import Answer
from monohull.kernel.database.data import AS_LOGIN, PostgresError, Statement
from monohull.kernel.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from modules.query import DataSource
    from monohull.kernel.database.conversation import Conversation
    from monohull.kernel.database.data import DataPool, Isolation
    from monohull.kernel.metrics import Metrics
    from monohull.kernel.observation import Observer, Reader
    from monohull.kernel.principal import Principal

NAME: Final = b"idempotency-key"
REPLAYED: Final = (b"idempotency-replayed", b"true")
MAX_KEY_CHARACTERS: Final = 255
MAX_ANSWER_BYTES: Final = 1024 * 1024
WAIT_SECONDS: Final = 10
"""So long a request waits for another one with its key."""

_TRIES: Final = 3
_LOCK_NOT_AVAILABLE: Final = "55P03"
_SERIALIZATION_FAILURE: Final = "40001"
_SAID: Final = (b"accept", b"prefer", b"content-profile", b"content-type")

WAIT: Final = (*AS_LOGIN, ("lock_timeout", f"{WAIT_SECONDS}s"))
_WAIT_NO_MORE: Final = Statement("set local lock_timeout to default", (), "idempotency.wait_no_more")
_CLAIM: Final = """
insert into monohull.idempotent_answers as kept (owner, key, fingerprint, expires_at)
values ($1, $2, $3, pg_catalog.now() + pg_catalog.make_interval(secs => $4))
on conflict (owner, key) do update
set fingerprint = excluded.fingerprint, expires_at = excluded.expires_at,
    status = null, headers = null, body = null
where kept.expires_at < pg_catalog.now()
"""
_FIND: Final = (
    "select fingerprint, status, headers, body from monohull.idempotent_answers where owner = $1 and key = $2"
)
_KEEP: Final = """
update monohull.idempotent_answers set status = $3, headers = $4, body = $5 where owner = $1 and key = $2
"""

_pairs: Final = msgspec.json.Decoder(list[tuple[str, str]])


class _Behind(Exception):
    """Another request with the key was first, and is seen by a transaction that begins now."""


Outcome: TypeAlias = Literal["kept", "replayed", "reused", "in_use"]
Write: TypeAlias = "Callable[[DataSource], Awaitable[Answer]]"


class IdempotentWrite(Observation, frozen=True, kw_only=True):
    """A write came with a key: its answer was kept or given again, or the key was refused."""

    event = "rest.idempotent_write"
    level = "debug"

    outcome: Outcome
    request_id: str


class Once:
    """Answers writes that came with a key.

    Args:
        pool: Where they run.
        keeps_seconds: How long an answer is given again.
        observer: Is told what became of each.
    """

    def __init__(self, pool: DataPool, keeps_seconds: int, observer: Observer) -> None:
        self._pool = pool
        self._keeps_seconds = keeps_seconds
        self._observer = observer

    async def answer(
        self,
        scope: Mapping[str, Any],
        body: bytes,
        principal: Principal,
        write: Write,
        *,
        isolation: Isolation | None,
    ) -> Answer:
        """Return what ``write`` answers, or what it answered when it was sent before.

        Raises:
            IdempotencyKeyInvalid: 400, what the header says is no key.
            IdempotencyKeyReused: 422, the key was sent with another request.
            IdempotencyKeyInUse: 409, a request with the key has not been answered for too long.
            AnswerTooLarge: 422, nothing took effect.
            PostgresError: The server refused; nothing took effect.
        """
        key, print_ = key_of(scope["headers"]), fingerprint(scope, body)
        assert key is not None
        place = (_bytea(owner_of(principal)), key)

        async def run(talk: Conversation) -> Answer:
            found = await self._claim(talk, place, print_)
            if found is None:
                return await self._keep(talk, place, await write(talk), scope)
            await talk.finish()
            return self._again(found, print_, scope)

        left = _TRIES
        while True:
            left -= 1
            try:
                return await converse(self._pool, run, isolation=isolation)
            except _Behind:
                if not left:
                    raise IdempotencyKeyInUse from None
            except IdempotencyKeyInUse:
                self._note(scope, "in_use")
                raise

    async def _claim(
        self, talk: Conversation, place: tuple[str, str], print_: bytes
    ) -> Sequence[bytes | None] | None:
        """Claim the key; return what is kept under it, or None where nothing was.

        Raises:
            IdempotencyKeyInUse: 409, another request holds it for too long.
        """
        claim = (*place, _bytea(print_), str(self._keeps_seconds))
        try:
            claimed, _, found = await talk.run_batch(
                (
                    Statement(_CLAIM, claim, "idempotency.claim"),
                    _WAIT_NO_MORE,
                    Statement(_FIND, place, "idempotency.find"),
                ),
                settings=WAIT,
            )
        except PostgresError as error:
            if error.sqlstate == _LOCK_NOT_AVAILABLE:
                raise IdempotencyKeyInUse from error
            if error.sqlstate == _SERIALIZATION_FAILURE:
                raise _Behind from error
            raise
        return None if claimed.tag == "INSERT 0 1" else found.rows[0]

    async def _keep(
        self, talk: Conversation, place: tuple[str, str], answer: Answer, scope: Mapping[str, Any]
    ) -> Answer:
        body = answer.body
        assert isinstance(body, bytes)
        if not talk.commits:
            await talk.finish()
            return answer
        if len(body) > MAX_ANSWER_BYTES:
            raise AnswerTooLarge(len(body), MAX_ANSWER_BYTES)
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers]
        values = (*place, str(answer.status), msgspec.json.encode(headers), _bytea(body))
        await talk.finish((Statement(_KEEP, values, "idempotency.keep"),), settings=AS_LOGIN)
        self._note(scope, "kept")
        return answer

    def _again(self, found: Sequence[bytes | None], print_: bytes, scope: Mapping[str, Any]) -> Answer:
        """Return a kept answer.

        Raises:
            IdempotencyKeyReused: 422, it is of another request.
        """
        kept_print, status, headers, body = (value or b"" for value in found)
        if _raw(kept_print) != print_:
            self._note(scope, "reused")
            raise IdempotencyKeyReused
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in _pairs.decode(headers)]
        self._note(scope, "replayed")
        return Answer(int(status), [*pairs, REPLAYED], _raw(body))

    def _note(self, scope: Mapping[str, Any], outcome: Outcome) -> None:
        self._observer.observe(IdempotentWrite(outcome=outcome, request_id=scope["state"]["request_id"]))


def key_of(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """Return the key of a request, None where it has none; it may be a quoted string, as the draft has it.

    >>> key_of([(b"idempotency-key", b'"a-1"')]), key_of([(b"idempotency-key", b"a-1")]), key_of([])
    ('a-1', 'a-1', None)

    Raises:
        IdempotencyKeyInvalid: 400, it is empty, too long, repeated, or has characters that no key has.
    """
    found = [value for name, value in headers if name == NAME]
    if not found:
        return None
    if len(found) > 1:
        raise IdempotencyKeyInvalid("The header Idempotency-Key is there more than once.")
    text = found[0].decode("latin-1").strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if not 0 < len(text) <= MAX_KEY_CHARACTERS or not (text.isascii() and text.isprintable()):
        message = f"The Idempotency-Key is not 1 to {MAX_KEY_CHARACTERS} printable ASCII characters."
        raise IdempotencyKeyInvalid(message)
    return text


def fingerprint(scope: Mapping[str, Any], body: bytes) -> bytes:
    """Return what tells one request from another under the same key, 32 bytes."""
    said = {name: value for name, value in scope["headers"] if name in _SAID}
    parts = (
        scope["method"].encode(),
        scope["path"].encode("utf-8", "surrogateescape"),
        scope["query_string"],
        *(said.get(name, b"") for name in _SAID),
        body,
    )
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def owner_of(principal: Principal) -> bytes:
    """Return whose keys they are, 32 bytes: one user's in one role, or one API key's."""
    who = msgspec.json.encode((principal.role, principal.subject, principal.key_id))
    return hashlib.sha256(who).digest()


def idempotency_metrics(metrics: Metrics) -> Reader:
    """Return the reader that counts writes with a key."""
    writes = metrics.counter(IDEMPOTENT_WRITES)

    def read(observation: Observation) -> None:
        if isinstance(observation, IdempotentWrite):
            writes.labels(observation.outcome).inc()

    return read


def _bytea(raw: bytes) -> str:
    return "\\x" + raw.hex()


def _raw(text: bytes) -> bytes:
    return bytes.fromhex(text[2:].decode())
