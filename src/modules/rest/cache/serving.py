"""`ResponseCache`: answers known reads of marked tables, from what is kept, or by one read for many.

An answer is given out only while the line is fresh (`Line`), and only if nothing was heard of its tables
since the read that gave it was sent. Whoever waits for the read of another does so by the same rule, as
of the moment in which the waiting begins.
"""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from modules.query import is_relative, only_row, why_not_pure
from modules.rest.cache.shared import Kept, kept_until
from modules.rest.cache.store import Entry, expiry
from modules.rest.cache.trees import join_claims
from modules.rest.metrics import CACHE_BYTES, CACHE_HEARTBEAT, CACHE_NOTICES, CACHE_READS, CACHE_STORES
from modules.rest.response import Answer
from monohull.kernel.asgi import lines_of
from monohull.kernel.clock import monotonic_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence

    from modules.query import Compiler
    from modules.rest.cache.facts import Facts
    from modules.rest.cache.line import Line
    from modules.rest.cache.shared import Shared
    from modules.rest.cache.store import Store, Tokens
    from modules.rest.cache.trees import Claims
    from modules.rest.known import Known, View
    from monohull.kernel.asgi import Reply
    from monohull.kernel.database.frames import Row
    from monohull.kernel.database.statements import Rows
    from monohull.kernel.metrics import Metrics
    from monohull.kernel.principal import Principal

Fill: TypeAlias = "Callable[[], Awaitable[Rows]]"

HEADER: Final = b"cache-status"
_HIT: Final = b"monohull; hit; ttl=%d"
_SHARED: Final = b"monohull; hit; ttl=%d; detail=%b"
_STORED: Final = (HEADER, b"monohull; fwd=miss; stored")
_MISS: Final = (HEADER, b"monohull; fwd=miss")
_STALE_STORED: Final = (HEADER, b"monohull; fwd=stale; stored")
_STALE: Final = (HEADER, b"monohull; fwd=stale")
_COLLAPSED: Final = (HEADER, b"monohull; fwd=miss; collapsed")
_REQUEST: Final = (HEADER, b"monohull; fwd=request")
_UNPROVEN: Final = (HEADER, b"monohull; fwd=bypass; detail=unproven")
_RELATIVE: Final = (HEADER, b"monohull; fwd=bypass; detail=relative-time")
_OK: Final = 200

_json: Final = msgspec.json.Encoder().encode


class Verdict:
    """That a kind of read, as one role sends it, can be cached, and by what.

    Two are never equal: it stands in keys for all that it was made of.
    """

    __slots__ = ("base", "claims", "facts", "max_age_seconds", "oids")

    def __init__(self, facts: Facts, oids: tuple[int, ...], claims: Claims, max_age_seconds: int) -> None:
        self.facts = facts
        self.oids = oids
        self.claims = claims
        self.max_age_seconds = max_age_seconds
        self.base: Any = None


class Way(Struct, frozen=True):
    """A known read as one caller sends it.

    Attributes:
        verdict: By what it can be cached.
        claims: Those that decide, with their values.
        is_refused: The client wants an answer from the database.
    """

    verdict: Verdict
    claims: bytes
    is_refused: bool


class _Flight:
    """A read on its way, and who waits for it."""

    __slots__ = ("answer", "has_left", "over", "tokens")

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.over = asyncio.Event()
        self.answer: Answer | None = None
        self.has_left = False


class ResponseCache:
    """The cache of one process.

    Args:
        store: The first level.
        shared: The second one, where there is one.
        bound_seconds: How old an answer may be at most.
        metrics: Where it is counted.

    Attributes:
        line: Hears of commits; set once, before anything is asked.
    """

    line: Line

    def __init__(self, store: Store, shared: Shared | None, bound_seconds: float, metrics: Metrics) -> None:
        self._store = store
        self._shared = shared
        self._shared_kind = b"" if shared is None else shared.kind.encode()
        self._bound = bound_seconds
        self._flights: dict[Hashable, _Flight] = {}
        self._reads: dict[str, float] = {}
        self._stores: dict[str, float] = {}
        metrics.sample_each(CACHE_READS, self._reads.copy)
        metrics.sample_each(CACHE_STORES, self._count_stores)
        metrics.sample(CACHE_BYTES, lambda: float(self._store.bytes))
        metrics.sample(CACHE_HEARTBEAT, lambda: self.line.age_seconds)
        metrics.sample(CACHE_NOTICES, lambda: float(self.line.heard))

    def clear(self) -> None:
        """Keep nothing of what was kept."""
        self._store.clear()

    def _count_stores(self) -> dict[str, float]:
        counts = self._stores.copy()
        if self._shared is not None:
            counts[self._shared.kind] = float(self._shared.kept)
            counts["refused"] = counts.get("refused", 0.0) + self._shared.refused
        return counts

    # --- whether ----------------------------------------------------------------------------

    def way(
        self,
        known: Known,
        view: View,
        compiler: Compiler,
        principal: Principal,
        headers: Mapping[bytes, bytes] | None,
    ) -> Way | None:
        """Return how a known read is cached for a caller; None where it is not."""
        facts = self.line.facts
        if not facts.tables or not known.compiled.relations <= facts.tables.keys():
            return None
        found = known.verdicts.get(principal.role)
        if found is None or found[0] is not facts:
            found = known.verdicts[principal.role] = facts, self._judge(known, view, compiler, principal.role)
        verdict: Verdict | None = found[1]
        if verdict is None:
            return None
        control = None if headers is None else headers.get(b"cache-control")
        is_refused = control is not None and refuses(control, self._bound)
        return Way(verdict, claims_of(principal, verdict.claims), is_refused)

    def _judge(self, known: Known, view: View, compiler: Compiler, role: str) -> Verdict | None:
        facts, keys = self.line.facts, sorted(known.compiled.relations)
        claims: Claims = frozenset()
        for key in keys:
            reading = facts.reading(key, role)
            if reading.why is not None:
                return None
            claims = join_claims(claims, reading.claims)
        plan = compiler.plan(known.request.asked, role=role, anonymous=False)
        if why_not_pure(plan, compiler.catalog) is not None:
            return None
        tables = [facts.tables[key] for key in keys]
        oids = tuple(table.oid for table in tables)
        verdict = Verdict(facts, oids, claims, min(table.max_age_seconds for table in tables))
        if self._shared is not None:
            verdict.base = _digest_of(self._shared.naming, known, view, facts)
        return verdict

    # --- answers ----------------------------------------------------------------------------

    def find(self, way: Way, given: Sequence[bytes]) -> Answer | None:
        """Return an answer that is kept and holds, without waiting."""
        found = self._find(way, given)
        if found is None:
            return None
        entry, seconds = found
        return Answer(_OK, [*entry.headers, (HEADER, _HIT % seconds)], entry.body)

    def find_lines(
        self, way: Way, given: Sequence[bytes], admits: Callable[[], bool] | None = None
    ) -> Reply | None:
        """Do what `find` does; return its parts, if ``admits`` lets the caller have it."""
        found = self._find(way, given, admits)
        if found is None:
            return None
        entry, seconds = found
        return _OK, b"%bcache-status: monohull; hit; ttl=%d\r\n" % (entry.lines, seconds), entry.body

    def _find(
        self, way: Way, given: Sequence[bytes], admits: Callable[[], bool] | None = None
    ) -> tuple[Entry, int] | None:
        if way.is_refused:
            return None
        entry = self._store.get((way.verdict, way.claims, *given))
        if entry is None:
            return None
        line, moment = self.line, monotonic_seconds()
        if moment >= line.fresh_until or entry.tokens != line.tokens(way.verdict.oids):
            return None
        left = entry.until - moment
        if left <= 0 or (admits is not None and not admits()):
            return None
        _count(self._reads, "hit")
        return entry, int(left)

    async def answer(self, way: Way, known: Known, given: Sequence[bytes], fill: Fill) -> Answer:
        """Answer what `find` did not find.

        Raises:
            Whatever ``fill`` raises, for this caller's own read alone.
        """
        args = known.args.fill(given)
        if (aside := self._aside(way, args)) is not None:
            return _with(known.answer(given, await fill()), aside)
        key = (way.verdict, way.claims, *given)
        while self.line.is_fresh:
            tokens = self.line.tokens(way.verdict.oids)
            flight = self._flights.get(key)
            if flight is None or flight.tokens != tokens:
                return await self._lead(way, known, given, args, key, tokens, fill)
            await flight.over.wait()
            if flight.answer is not None:
                _count(self._reads, "collapsed")
                return _with(flight.answer, _COLLAPSED)
            if not flight.has_left:  # what failed for one may do so for all, and not one after the other
                break
        _count(self._reads, "miss")
        return _with(known.answer(given, await fill()), _MISS)

    def _aside(self, way: Way, args: Sequence[bytes]) -> tuple[bytes, bytes] | None:
        """Return what is said of a read that is neither looked for nor kept."""
        if way.is_refused:
            _count(self._reads, "bypassed")
            return _REQUEST
        if not self.line.is_fresh or way.verdict.facts is not self.line.facts:
            _count(self._reads, "unproven")
            return _UNPROVEN
        if any(map(is_relative, args)):
            _count(self._reads, "bypassed")
            return _RELATIVE
        return None

    async def _lead(  # noqa: PLR0913, PLR0917 a read has these parts
        self,
        way: Way,
        known: Known,
        given: Sequence[bytes],
        args: Sequence[bytes],
        key: Hashable,
        tokens: Tokens,
        fill: Fill,
    ) -> Answer:
        """Read for all who ask the same meanwhile."""
        flight = self._flights[key] = _Flight(tokens)
        was_there = self._store.get(key) is not None
        try:
            name = self._name(way, args)
            kept = None if name is None or self._shared is None else await self._shared.get(name)
            if kept is not None:
                headers = known.answer_headers(given, kept.rows, len(kept.document))
                flight.answer = answer = Answer(_OK, headers, kept.document)
                left = kept.until - kept_until(0)
                self._keep(key, answer, tokens, way, left)
                _count(self._reads, "hit_shared")
                return _with(answer, (HEADER, _SHARED % (int(left), self._shared_kind)))
            _count(self._reads, "outdated" if was_there else "miss")
            rows = await fill()
            answer = known.answer(given, rows)
            seconds = float(way.verdict.max_age_seconds)
            is_kept = self._may_keep(answer, only_row(known.compiled, rows))
            if is_kept:
                flight.answer = answer
                is_kept = self._keep(key, answer, tokens, way, seconds)
            else:
                _count(self._stores, "refused")
            if is_kept and name is not None and self._shared is not None:
                assert isinstance(answer.body, bytes)
                count = int(only_row(known.compiled, rows)[1] or 0)
                self._shared.put(name, Kept(count, kept_until(seconds), answer.body))
            if was_there:
                return _with(answer, _STALE_STORED if is_kept else _STALE)
            return _with(answer, _STORED if is_kept else _MISS)
        except asyncio.CancelledError:
            flight.has_left = True
            raise
        finally:
            flight.over.set()
            if self._flights.get(key) is flight:
                del self._flights[key]

    def _may_keep(self, answer: Answer, row: Row) -> bool:
        """Say whether others may get an answer: not one that functions have a part in."""
        return (
            answer.status == _OK
            and isinstance(answer.body, bytes)
            and self._store.fits(answer.body)
            and not any(row[2:-1])
        )

    def _keep(self, key: Hashable, answer: Answer, tokens: Tokens, way: Way, seconds: float) -> bool:
        """Keep an answer, unless something was heard of its tables since it was asked for."""
        if tokens != self.line.tokens(way.verdict.oids) or way.verdict.facts is not self.line.facts:
            return False
        assert isinstance(answer.body, bytes)
        lines = lines_of([pair for pair in answer.headers if pair[0] != b"content-length"])
        self._store.put(key, Entry(answer.headers, lines, answer.body, tokens, expiry(seconds)))
        _count(self._stores, "memory")
        return True

    def _name(self, way: Way, args: Sequence[bytes]) -> str | None:
        """Return under what an answer is kept for all processes, as of now."""
        if way.verdict.base is None:
            return None
        digest = way.verdict.base.copy()
        for part in (way.claims, *self.line.versions(way.verdict.oids), *args):
            digest.update(len(part).to_bytes(8, "big") + part)
        name: str = digest.hexdigest()
        return name


def claims_of(principal: Principal, claims: Claims) -> bytes:
    """Return the claims that decide, with their values, as one text: ``[["sub","5f…"]]``."""
    if claims == "all":
        return principal.claims_json.encode()
    return _json([(name, principal.claims.get(name)) for name in sorted(claims)]) if claims else b""


def refuses(control: bytes, bound_seconds: float) -> bool:
    """Say whether ``Cache-Control`` of a request wants no answer that may be as old as the bound.

    >>> refuses(b"no-cache", 1.0), refuses(b"max-age=0", 1.0), refuses(b"max-age=60, no-transform", 1.0)
    (True, True, False)
    """
    for directive in control.lower().split(b","):
        name, _, value = directive.strip().partition(b"=")
        if name in (b"no-cache", b"no-store"):
            return True
        if name == b"max-age":
            seconds = value.strip(b'"')
            if not seconds.isdigit() or int(seconds) < bound_seconds:
                return True
    return False


def _count(counts: dict[str, float], label: str) -> None:
    counts[label] = counts.get(label, 0.0) + 1.0


def _digest_of(naming: bytes, known: Known, view: View, facts: Facts) -> Any:
    """Return the digest of all that an answer depends on beside values, claims and commits."""
    digest = blake2b(key=naming, digest_size=20)
    settings = view.settings
    parts = (
        known.compiled.statement.text.encode(),
        view.key.encode(),
        repr(settings.names).encode(),
        settings.head,
        repr(settings.more).encode(),
        facts.fingerprint.encode(),
    )
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest


def _with(answer: Answer, status: tuple[bytes, bytes]) -> Answer:
    return Answer(answer.status, [*answer.headers, status], answer.body)
