"""Rate limits: a token bucket per caller, in Redis, so that all processes share it.

A bucket holds ``capacity`` tokens and gains ``refill_per_second``; a request
takes some or is refused. One script does it in one round trip, and by Redis'
own clock: hosts whose clocks differ still agree.

Without Redis a limit that guards secrets is closed (503), and one that guards
capacity counts in this process alone, with its share of the tokens. After a
failure Redis is left alone for a moment, so that a dead server costs one
time-out and not one a request.

Headers: ``draft-ietf-httpapi-ratelimit-headers``, ``RateLimit`` and
``RateLimit-Policy``, with ``Retry-After`` (RFC 9110) on a refusal.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct
from redis.exceptions import NoScriptError, RedisError

from monohull.kernel import clock
from monohull.kernel.errors import RateLimited, RedisUnavailable
from monohull.kernel.observation import SILENT, DependencyBack, DependencyLost
from monohull.kernel.redis_connection import UNREACHABLE, explain_redis_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis.asyncio import Redis

    from monohull.kernel.observation import Observer

Fail: TypeAlias = Literal["closed", "local"]

KEY_PREFIX: Final = "mh:limit:"
TAKE_TIMEOUT_SECONDS: Final = 1.0
"""A limit that makes requests slow is worse than none; Redis answers in under a millisecond."""

MAX_LOCAL_BUCKETS: Final = 10_000
"""About 3 MB. A caller whose bucket is pushed out starts with a full one."""

MIN_PAUSE_SECONDS: Final = 0.5
MAX_PAUSE_SECONDS: Final = 5.0

_NAME: Final = re.compile(r"[a-z][a-z0-9._-]{0,63}")

_TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local capacity, rate, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tokens = capacity
local saved = redis.call('GET', KEYS[1])
if saved then
  local at, left = string.match(saved, '^(%d+):(.+)$')
  tokens = math.min(capacity, tonumber(left) + math.max(0, now - tonumber(at)) / 1000000 * rate)
end
local allowed = tokens >= cost and 1 or 0
if allowed == 1 then tokens = tokens - cost end
local text = string.format('%.17g', tokens)
local full = math.ceil((capacity - tokens) / rate * 1000)
redis.call('SET', KEYS[1], string.format('%.0f', now) .. ':' .. text, 'PX', full + 1000)
return {allowed, text}
"""
"""Whole microseconds of the server's clock fit a double. A clock that went back gives nothing and
takes nothing. The key goes a second after the bucket would be full, which is what no key means."""

_SETTLE: Final = _TAKE.replace(
    "local allowed = tokens >= cost and 1 or 0\nif allowed == 1 then tokens = tokens - cost end",
    "local allowed = 1\ntokens = math.max(-capacity, tokens - cost)",
)
"""Takes what was spent already, beyond what there is if need be; nobody owes more than a full bucket."""

_TAKE_SHA: Final = hashlib.sha1(_TAKE.encode(), usedforsecurity=False).hexdigest()


class Limit(Struct, frozen=True):
    """One rule.

    Attributes:
        name: Lower case; goes out in the headers.
        capacity: Tokens of a full bucket: the largest burst.
        refill_per_second: Tokens gained a second: the lasting rate.
        fail: Without Redis, ``closed`` refuses with 503 and ``local`` counts in the process.
    """

    name: str
    capacity: int
    refill_per_second: float
    fail: Fail = "closed"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"the limit's name {self.name!r} is not lower case letters, digits, . _ or -")
        if self.capacity < 1 or not 0 < self.refill_per_second < math.inf:
            raise ValueError(f"the limit {self.name} needs a capacity of 1 and a refill above 0 at least")

    @property
    def window_seconds(self) -> int:
        """How long an empty bucket takes to fill."""
        return math.ceil(self.capacity / self.refill_per_second)


def per_minute(name: str, tokens: int, *, burst: int | None = None, fail: Fail = "closed") -> Limit:
    """Return the limit of ``tokens`` a minute, all at once when no ``burst`` is given."""
    return Limit(name, burst or tokens, tokens / 60, fail)


class Decision(Struct, frozen=True):
    """What a limit said to one request.

    Attributes:
        allowed: Whether the tokens were there; they are taken then, and only then.
        remaining: Whole tokens left.
        reset_seconds: Until the bucket is full again.
        retry_after_seconds: Until the same request would pass; 0 when it did.
        limit: The rule, for the headers.
    """

    allowed: bool
    remaining: int
    reset_seconds: int
    retry_after_seconds: int
    limit: Limit


def headers(decision: Decision) -> dict[str, str]:
    """Return what the answer tells the client about its limit."""
    limit = decision.limit
    found = {
        "RateLimit": f'"{limit.name}";r={decision.remaining};t={decision.reset_seconds}',
        "RateLimit-Policy": f'"{limit.name}";q={limit.capacity};w={limit.window_seconds}',
    }
    if not decision.allowed:
        found["Retry-After"] = str(decision.retry_after_seconds)
    return found


class RateLimits:
    """The buckets that the processes of one instance share.

    Attributes:
        refused: How many requests this process refused, by the limit's name.

    Args:
        redis: Where they are.
        observer: Told when Redis is lost and when it is back.
        secret: Keys the hash of what callers are known by; without it an IPv4
            address could be found by trying them all.
        processes: How many share a limit while each counts alone.
        timeout_seconds: When Redis counts as away; `TAKE_TIMEOUT_SECONDS` unless given.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        observer: Observer = SILENT,
        secret: bytes = b"",
        processes: int = 1,
        timeout_seconds: float | None = None,
    ) -> None:
        self._redis = redis
        self._secret = hashlib.sha256(secret).digest()
        self._timeout_seconds = TAKE_TIMEOUT_SECONDS if timeout_seconds is None else timeout_seconds
        self._local = LocalBuckets(processes)
        self._breaker = Breaker("redis.limits", observer)
        self.refused: Counter[str] = Counter()

    async def take(self, limit: Limit, key: str, cost: int = 1) -> Decision:
        """Take ``cost`` tokens of the bucket that ``limit`` keeps for ``key``.

        Args:
            limit: The rule.
            key: Who: an address, a user's id, a token. Redis sees a keyed hash of it.
            cost: Tokens, up to the limit's capacity; 0 only looks how many are left.

        Raises:
            RedisUnavailable: 503, Redis is away and the limit fails closed.
            ValueError: ``cost`` could never be paid.
        """
        if not 0 <= cost <= limit.capacity:
            raise ValueError(f"the limit {limit.name} has {limit.capacity} tokens; {cost} cannot be taken")
        bucket = self._bucket(limit, key)
        if self._breaker.lets_pass():
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    allowed, tokens = await self._evaluate(bucket, limit, cost)
            except (*UNREACHABLE, RedisError) as error:
                self._breaker.failed(explain_redis_error(error))
                return self._without_redis(limit, bucket, cost, error)
            except BaseException:
                self._breaker.abandoned()
                raise
            self._breaker.succeeded()
            return decide(limit, tokens, cost, allowed=allowed)
        return self._without_redis(limit, bucket, cost, None)

    async def enforce(self, limit: Limit, key: str, cost: int = 1) -> Decision:
        """Take tokens or refuse the request.

        Raises:
            RateLimited: 429 with the headers of `headers`.
            RedisUnavailable: 503, Redis is away and the limit fails closed.
        """
        decision = await self.take(limit, key, cost)
        if not decision.allowed:
            self.refused[limit.name] += 1
            raise RateLimited(
                f"Too many requests: {limit.capacity} in {limit.window_seconds} s are allowed.",
                headers=headers(decision),
            )
        return decision

    async def settle(self, limit: Limit, spent: Mapping[str, int]) -> dict[str, float]:
        """Take tokens that callers spent already; return what each has left, below 0 what it owes.

        One round trip. Returns nothing when Redis is away: then every process goes by its own count.
        """
        if not self._breaker.lets_pass():
            return {}
        try:
            async with asyncio.timeout(self._timeout_seconds):
                pipeline = self._redis.pipeline(transaction=False)
                for caller, cost in spent.items():
                    bucket = self._bucket(limit, caller)
                    _ = pipeline.eval(
                        _SETTLE, 1, bucket, str(limit.capacity), repr(limit.refill_per_second), str(cost)
                    )
                answers = await pipeline.execute()
        except (*UNREACHABLE, RedisError) as error:
            self._breaker.failed(explain_redis_error(error))
            return {}
        except BaseException:
            self._breaker.abandoned()
            raise
        self._breaker.succeeded()
        return {caller: float(tokens) for caller, (_, tokens) in zip(spent, answers, strict=True)}

    async def _evaluate(self, bucket: str, limit: Limit, cost: int) -> tuple[bool, float]:
        arguments = (bucket, str(limit.capacity), repr(limit.refill_per_second), str(cost))
        try:
            allowed, tokens = await self._redis.evalsha(_TAKE_SHA, 1, *arguments)
        except NoScriptError:  # a Redis that was restarted, or is asked for the first time
            allowed, tokens = await self._redis.eval(_TAKE, 1, *arguments)
        return bool(allowed), float(tokens)

    def _without_redis(self, limit: Limit, bucket: str, cost: int, cause: BaseException | None) -> Decision:
        if limit.fail == "local":
            return self._local.take(limit, bucket, cost)
        raise RedisUnavailable(
            "Requests cannot be counted at the moment, and this one may not go uncounted.",
            retry_after_seconds=max(1, math.ceil(self._breaker.pause_seconds)),
        ) from cause

    def _bucket(self, limit: Limit, key: str) -> str:
        digest = hashlib.blake2b(key.encode(), key=self._secret, digest_size=16).hexdigest()
        return f"{KEY_PREFIX}{limit.name}:{digest}"


def decide(limit: Limit, tokens: float, cost: int, *, allowed: bool) -> Decision:
    """Put what a bucket holds after a request into whole tokens and seconds."""
    missing = limit.capacity - tokens
    wait = 0.0 if allowed else (cost - tokens) / limit.refill_per_second
    return Decision(
        allowed=allowed,
        remaining=max(0, math.floor(tokens)),
        reset_seconds=max(0, math.ceil(missing / limit.refill_per_second)),
        retry_after_seconds=0 if allowed else max(1, math.ceil(wait)),
        limit=limit,
    )


class LocalBuckets:
    """Buckets of this process, for the time without Redis; the least used go first.

    Args:
        processes: The tokens are divided by this, so that all processes together
            allow about what the limit says; each has one token at least.
        max_buckets: How many are kept.
    """

    def __init__(self, processes: int = 1, max_buckets: int = MAX_LOCAL_BUCKETS) -> None:
        if processes < 1:
            raise ValueError("at least one process shares the limits")
        self._processes = processes
        self._max_buckets = max_buckets
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, limit: Limit, bucket: str, cost: int) -> Decision:
        """Take ``cost`` tokens; one that exceeds the share empties the whole bucket."""
        share = Limit(
            limit.name,
            max(1, limit.capacity // self._processes),
            limit.refill_per_second / self._processes,
            limit.fail,
        )
        price = min(cost, share.capacity)
        now = clock.monotonic_seconds()
        tokens, at = self._buckets.pop(bucket, (float(share.capacity), now))
        tokens = min(share.capacity, tokens + (now - at) * share.refill_per_second)
        allowed = tokens >= price
        if allowed:
            tokens -= price
        self._buckets[bucket] = tokens, now
        if len(self._buckets) > self._max_buckets:
            self._buckets.popitem(last=False)
        return decide(share, tokens, price, allowed=allowed)


class Breaker:
    """Whether to ask something that failed, and since when.

    After a failure nobody asks for `pause_seconds`; then one caller tries while
    the others still go without. Each try that fails doubles the pause.
    """

    def __init__(self, name: str, observer: Observer) -> None:
        self._name = name
        self._observer = observer
        self._failed_at: float | None = None
        self._next_try_at = 0.0
        self._is_trying = False
        self.pause_seconds = 0.0

    def lets_pass(self) -> bool:
        """Say whether this caller may ask; it then has to report how that went."""
        if self._failed_at is None:
            return True
        if self._is_trying or clock.monotonic_seconds() < self._next_try_at:
            return False
        self._is_trying = True
        return True

    def failed(self, reason: str) -> None:
        """Note a failure; those that were under way when the first one came change nothing."""
        now = clock.monotonic_seconds()
        if self._failed_at is None:
            self._failed_at, self.pause_seconds = now, MIN_PAUSE_SECONDS
            self._observer.observe(DependencyLost(name=self._name, reason=reason))
        elif self._is_trying:
            self.pause_seconds = min(self.pause_seconds * 2, MAX_PAUSE_SECONDS)
        else:
            return
        self._is_trying = False
        self._next_try_at = now + self.pause_seconds

    def abandoned(self) -> None:
        """Note that a caller went away before the answer; another may try."""
        self._is_trying = False

    def succeeded(self) -> None:
        self._is_trying = False
        if self._failed_at is not None:
            seconds = clock.monotonic_seconds() - self._failed_at
            self._failed_at, self.pause_seconds = None, 0.0
            self._observer.observe(DependencyBack(name=self._name, seconds=seconds))
