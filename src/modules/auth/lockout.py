"""Slow down who guesses passwords, without locking out who knows one.

Two counters of wrong passwords stand beside the limits per address:

- of an account, whoever asks. From `FREE_FAILURES` on, each further one makes
  everybody wait, twice as long as the one before, up to `MAX_WAIT_SECONDS`.
  So a botnet gets as many guesses as one machine.
- of an account and an address from which somebody signed in to it lately. That
  address is known, and the wait of the others is none of its business: a victim
  at home signs in while the attack goes on. It has a bucket of its own.

An attempt is counted before the password is compared, and taken back when it
was right, so that a thousand at once are not a thousand guesses. Accounts that
do not exist are counted like others, by their address, and answer alike.

All of it is in Redis, by Redis' clock, in one round trip each.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from monohull.kernel.errors import RateLimited, RedisUnavailable
from monohull.kernel.redis_connection import UNREACHABLE, explain_redis_error

if TYPE_CHECKING:
    from redis.asyncio import Redis

FREE_FAILURES: Final = 10
"""Wrong passwords for one account that cost nobody a wait."""

FIRST_WAIT_SECONDS: Final = 5
MAX_WAIT_SECONDS: Final = 900
FORGET_SECONDS: Final = 3600
"""An account at which nobody failed for so long starts anew."""

KNOWN_SECONDS: Final = 90 * 86_400
MAX_KNOWN: Final = 20
"""Addresses of one account that are remembered; the least recently used goes."""

TIMEOUT_SECONDS: Final = 1.0
PREFIX: Final = "mh:auth:lockout:"

_ATTEMPT: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1])
local seen = redis.call('ZSCORE', KEYS[2], ARGV[1])
if seen and tonumber(seen) > now - tonumber(ARGV[6]) then return {0, 1} end
local ends = tonumber(redis.call('HGET', KEYS[1], 'ends') or '0')
if ends > now then return {ends - now, 0} end
local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
local over = failures - tonumber(ARGV[2])
if over > 0 then
  local wait = math.min(tonumber(ARGV[4]), tonumber(ARGV[3]) * 2 ^ math.min(over - 1, 30))
  redis.call('HSET', KEYS[1], 'ends', string.format('%.0f', now + wait))
end
redis.call('EXPIRE', KEYS[1], tonumber(ARGV[5]))
return {0, 0}
"""

_SUCCEED: Final = """
local time = redis.call('TIME')
if ARGV[2] == '0' and redis.call('EXISTS', KEYS[1]) == 1 then
  if redis.call('HINCRBY', KEYS[1], 'failures', -1) < tonumber(ARGV[5]) then
    redis.call('HDEL', KEYS[1], 'ends')
  end
end
redis.call('ZADD', KEYS[2], time[1], ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -tonumber(ARGV[3]) - 1)
redis.call('EXPIRE', KEYS[2], tonumber(ARGV[4]))
return 0
"""


class Lockout:
    """The counters of accounts.

    Args:
        redis: Where they are.
        secret: Keys the hashes of accounts and addresses.
        free_failures: Wrong passwords for one account that cost nobody a wait.
        counts: What is counted, in the words of a refusal.
    """

    def __init__(
        self, redis: Redis, secret: bytes, free_failures: int = FREE_FAILURES, *, counts: str = "passwords"
    ) -> None:
        self._counts = counts
        self._redis = redis
        self._secret = hashlib.sha256(secret).digest()
        self._free_failures = free_failures

    async def attempt(self, account: str, network: str) -> bool:
        """Count an attempt as a failure until it is known to be none; say whether the address is known.

        Args:
            account: The address that is signed in to, whether somebody has it or not.
            network: Where the attempt comes from.

        Raises:
            RateLimited: 429, with the seconds to wait. RedisUnavailable: 503.
        """
        arguments = (
            self._hash(network),
            self._free_failures,
            FIRST_WAIT_SECONDS,
            MAX_WAIT_SECONDS,
            FORGET_SECONDS,
            KNOWN_SECONDS,
        )
        wait, is_known = await self._run(_ATTEMPT, account, arguments)
        if wait > 0:
            seconds = max(1, math.ceil(wait))
            raise RateLimited(
                f"Too many wrong {self._counts} for this account; wait {seconds} s.",
                headers={"Retry-After": str(seconds)},
            )
        return bool(is_known)

    async def succeed(self, account: str, network: str, *, was_known: bool) -> None:
        """Take the attempt back, and know the address from now on.

        Raises:
            RedisUnavailable: 503.
        """
        arguments = (
            self._hash(network),
            int(was_known),
            MAX_KNOWN,
            KNOWN_SECONDS,
            self._free_failures,
        )
        await self._run(_SUCCEED, account, arguments)

    async def _run(self, script: str, account: str, arguments: tuple[Any, ...]) -> Any:
        slot = self._hash(account)
        keys = (f"{PREFIX}{{{slot}}}:failures", f"{PREFIX}{{{slot}}}:known")
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await self._redis.eval(script, len(keys), *keys, *arguments)
        except (*UNREACHABLE, RedisError, TimeoutError) as error:
            raise RedisUnavailable(
                f"Wrong {self._counts} cannot be counted at the moment, so nobody can sign in.",
                details=explain_redis_error(error),
                retry_after_seconds=1,
            ) from error

    def _hash(self, text: str) -> str:
        encoded = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(encoded, key=self._secret, digest_size=16).hexdigest()
