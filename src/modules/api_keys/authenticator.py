"""Opaque key → `Principal`.

A key is looked up by its hash and remembered for `CACHE_SECONDS`; a change of the
key ends that at once (`news`), and nothing else makes it longer. Unknown keys are
remembered as well, so that a client which repeats one costs no query each time.

A request with a remembered key and the same headers as one before comes in by
`KeyStanding`: one comparison of times, the note of its use, and the counts of
rate and quota where the key has them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from modules.api_keys import owners
from modules.api_keys.errors import AddressNotAllowed, QuotaExceeded
from modules.api_keys.events import ApiKeyRefused
from modules.api_keys.networks import includes, parse_networks
from modules.api_keys.opaque import is_well_formed, looks_opaque
from modules.api_keys.principals import Issue, principal_of
from modules.api_keys.repositories import ApiKeyRepository
from modules.api_keys.services import quota_of
from monohull.kernel import clock
from monohull.kernel.addresses import network_of
from monohull.kernel.errors import InvalidCredential
from monohull.kernel.ids import hash_token

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from modules.api_keys.models import ApiKey
    from modules.api_keys.quotas import Count, Quotas
    from modules.api_keys.rates import Rates
    from modules.api_keys.usage import Usage
    from monohull.kernel.addresses import Network
    from monohull.kernel.allowance import Allowance
    from monohull.kernel.authentication import Credentials
    from monohull.kernel.counted import CountedEvents
    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal

CACHE_SECONDS: Final = 3.0
CACHE_ENTRIES: Final = 1000


class Found:
    """What the database said about a text, and until when that counts.

    Attributes:
        until: Of the clock `clock.monotonic_seconds`.
        key_id: Of the key; None for a text that is none.
        principal: Whom it stands for.
        ends_at: When this text of the key ends, by its expiry or by a rotation.
        end: What to say then.
        problem: Why it does not hold.
        networks: From where it may be used; none for everywhere.
        rate: Requests a minute.
        count: Requests a day or month.
    """

    __slots__ = (
        "_counted",
        "count",
        "end",
        "ends_at",
        "key_id",
        "networks",
        "principal",
        "problem",
        "rate",
        "until",
    )

    def __init__(self, until: float, counted: CountedEvents) -> None:
        self._counted = counted
        self.until = until
        self.key_id: UUID | None = None
        self.principal: Principal | None = None
        self.ends_at: datetime | None = None
        self.end = "The API key expired"
        self.problem: InvalidCredential | None = None
        self.networks: tuple[Network, ...] = ()
        self.rate: Allowance | None = None
        self.count: Count | None = None

    def admit(self, address: str | None) -> Principal:
        """Return the principal for a request from ``address``.

        Raises:
            InvalidCredential: The key does not hold.
            AddressNotAllowed: 403.
        """
        if self.problem is not None:
            raise self.problem
        if self.principal is None:
            raise InvalidCredential("The API key is not known", reason="unknown")
        if self.ends_at is not None and self.ends_at <= clock.now():
            raise InvalidCredential(self.end, reason="expired")
        if self.networks and not includes(self.networks, address):
            self._tell(AddressNotAllowed.code, address)
            raise AddressNotAllowed(f"This key may not be used from {address or 'here'}.")
        return self.principal

    def spend(self) -> None:
        """Count a request against rate and quota.

        Raises:
            RateLimited: 429. QuotaExceeded: 429.
        """
        if self.rate is not None:
            self.rate.enforce(str(self.key_id))
        if self.count is not None:
            try:
                self.count.take()
            except QuotaExceeded:
                self._tell(QuotaExceeded.code)
                raise

    def _tell(self, code: str, address: str | None = None) -> None:
        """Have the audit log know that the key was refused."""
        event = ApiKeyRefused(key_id=str(self.key_id), refusal=code, address=address)
        self._counted.count(event, caller=f"{self.key_id} {code} {network_of(address)}")


class KeyStanding:
    """That a key was found to hold for requests from one address, until `Found.until`.

    The first `use` is that of `Grants.standing`, which asks whom it stands for: it belongs to the request
    that `KeyAuthenticator.authenticate` has counted, and is not counted again.
    """

    __slots__ = ("_found", "_is_new", "_principal", "_usage")

    def __init__(self, found: Found, principal: Principal, usage: Usage) -> None:
        self._found = found
        self._principal = principal
        self._usage = usage
        self._is_new = True

    def use(self) -> Principal | None:
        """Count a request and return the principal; None once the key has to be looked at again.

        Raises:
            RateLimited: 429. QuotaExceeded: 429.
        """
        found = self._found
        if clock.monotonic_seconds() >= found.until:
            return None
        if self._is_new:
            self._is_new = False
            return self._principal
        if found.rate is not None or found.count is not None:
            found.spend()
        assert found.key_id is not None
        self._usage.note(found.key_id)
        return self._principal


class KeyAuthenticator:
    """Knows opaque keys, in ``Authorization: Bearer`` and in ``apikey``.

    Args:
        database: Where keys are.
        usage: Told of each use.
        rates: Counts requests a minute.
        quotas: Counts requests a day or month.
        issue: What tokens of this instance say.
        counted: Told of keys that were refused.
    """

    def __init__(  # noqa: PLR0913 everything that a key is measured by
        self,
        database: Database,
        usage: Usage,
        *,
        rates: Rates,
        quotas: Quotas,
        issue: Issue,
        counted: CountedEvents,
    ) -> None:
        self._database = database
        self._usage = usage
        self._rates = rates
        self._quotas = quotas
        self._issue = issue
        self._counted = counted
        self._found: OrderedDict[str, Found] = OrderedDict()
        self._changes = 0

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return the key's principal, or None when the request is spoken for by something else.

        Raises:
            InvalidCredential: The key is malformed, unknown, revoked or expired, or its owner is gone.
            AddressNotAllowed: 403. RateLimited: 429. QuotaExceeded: 429.
            DatabaseUnavailable: 503, nobody can say.
        """
        key = credentials.bearer if credentials.bearer is not None else credentials.apikey
        if key is None or not looks_opaque(key):
            return None
        if not is_well_formed(key):
            raise InvalidCredential("The API key is malformed", reason="malformed")
        found = await self._find(hash_token(key))
        principal = found.admit(credentials.address)
        found.spend()
        assert found.key_id is not None
        self._usage.note(found.key_id)
        return principal

    def standing(self, credentials: Credentials) -> KeyStanding | None:
        """Return what is remembered of the request's key: it is over when that is."""
        key = credentials.bearer if credentials.bearer is not None else credentials.apikey
        if key is None or not looks_opaque(key):
            return None
        found = self._found.get(hash_token(key))
        if found is None or found.principal is None:
            return None
        return KeyStanding(found, found.admit(credentials.address), self._usage)

    def forget(self, key_id: str | None) -> None:
        """Look a key up again before anybody uses it; None for all keys."""
        self._changes += 1
        gone = [
            key_hash for key_hash, found in self._found.items() if key_id in (None, str(found.key_id or ""))
        ]
        for key_hash in gone:
            self._found.pop(key_hash).until = 0.0

    async def _find(self, key_hash: str) -> Found:
        at = clock.monotonic_seconds()
        known = self._found.get(key_hash)
        if known is not None and at < known.until:
            return known
        found, changes = Found(at + CACHE_SECONDS, self._counted), self._changes
        await self._fill(found, key_hash)
        if changes != self._changes:
            found.until = 0.0  # perhaps it was read just before it changed: good for this request alone
            return found
        self._found[key_hash] = found
        self._found.move_to_end(key_hash)
        if len(self._found) > CACHE_ENTRIES:
            self._found.popitem(last=False)
        return found

    async def _fill(self, found: Found, key_hash: str) -> None:
        async with self._database.unit_of_work() as work:
            row = await ApiKeyRepository(work).find_by_hash(key_hash)
            if row is None:
                return
            found.key_id = row.id
            owner = None if row.user_id is None else await owners.find_owner(work, row.user_id)
        if row.revoked_at is not None:
            found.problem = InvalidCredential("The API key was revoked", reason="revoked")
        elif row.user_id is not None:
            found.problem = owners.refusal(owner)
        if found.problem is None:
            found.principal = principal_of(row, owner, self._issue)
            self._set_end(found, row, key_hash)
            await self._set_limits(found, row)

    @staticmethod
    def _set_end(found: Found, row: ApiKey, key_hash: str) -> None:
        found.ends_at = row.expires_at
        replaced_at = row.previous_ends_at if row.hash != key_hash else None
        if replaced_at is not None and (found.ends_at is None or replaced_at < found.ends_at):
            found.ends_at, found.end = replaced_at, "The API key was rotated, and this text of it has ended"
        if found.ends_at is not None:
            left = (found.ends_at - clock.now()).total_seconds()
            found.until = min(found.until, clock.monotonic_seconds() + left)

    async def _set_limits(self, found: Found, row: ApiKey) -> None:
        found.networks = parse_networks(row.allowed_addresses)
        found.rate = None if row.rate_per_minute is None else self._rates.of(row.rate_per_minute)
        quota = quota_of(row)
        found.count = None if quota is None else await self._quotas.of(str(row.id), quota)
