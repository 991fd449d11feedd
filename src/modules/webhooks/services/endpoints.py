"""Make, change, disable and delete endpoints.

Whatever changes what an endpoint matches waits for the batch of events that the fan-out is at, and writes
down from which number in the feed on the change holds: so each event has been judged by one definition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET

from modules.webhooks.dtos import CreatedEndpoint, RowSubscription
from modules.webhooks.errors import TooManyWebhooks, WebhookInvalid
from modules.webhooks.events import (
    WebhookEndpointCreated,
    WebhookEndpointDeleted,
    WebhookEndpointDisabled,
    WebhookEndpointUpdated,
)
from modules.webhooks.models import WebhookEndpoint, WebhookSecret
from modules.webhooks.repositories import EndpointRepository
from modules.webhooks.services.rules import NO_ENDPOINT, Rules, demand_rows, stored, view
from modules.webhooks.services.watching import fit_watches, unwatch_rows, watch_rows, watching
from modules.webhooks.signing import new_secret, read_secret
from monohull.kernel import clock, outbox
from monohull.kernel.errors import NotFound
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.webhooks.dtos import CreateEndpoint, EndpointPatch, EndpointView
    from modules.webhooks.sealing import Vault
    from modules.webhooks.settings import WebhooksSettings
    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal

    Tell = Callable[[AsyncSession, str, WebhookEndpoint, str], Awaitable[None]]

BY_HAND: Final = "by_hand"
FORGET_BATCH: Final = 2000
_MATCHING: Final = frozenset({"events", "rows", "filters", "is_enabled"})
"""Fields that decide which events an endpoint gets."""

_WATCHING: Final = frozenset({"rows", "is_enabled"})
"""Fields that decide which tables it watches."""

_MENDING: Final = frozenset({"url", "headers", "is_enabled"})
"""Fields whose change may be what the circuit breaker waits for."""


class Endpoints:
    """The endpoints of this instance.

    Args:
        database: Where they are.
        vault: Seals secrets and header values.
        rules: Say what an endpoint may be.
        settings: What holds where an endpoint says nothing.
        tell: Writes to the owner of an endpoint, by its address, that it was disabled, and why.
    """

    def __init__(
        self, database: Database, vault: Vault, rules: Rules, settings: WebhooksSettings, tell: Tell
    ) -> None:
        self._database = database
        self._vault = vault
        self._rules = rules
        self._settings = settings
        self._tell = tell

    async def page(self, limit: int, behind: UUID | None) -> Sequence[EndpointView]:
        """Return a page, the oldest first."""
        async with self._database.unit_of_work() as work:
            endpoints = EndpointRepository(work)
            rows = await endpoints.page(limit, behind)
            problems = await endpoints.row_problems(*(row.id for row in rows))
            return [view(row, problems[row.id]) for row in rows]

    async def get(self, endpoint_id: UUID) -> EndpointView:
        """Return an endpoint.

        Raises:
            NotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            endpoints = EndpointRepository(work)
            row = await endpoints.find_by_id(endpoint_id)
            if row is None:
                raise NotFound(NO_ENDPOINT)
            return await _shown(endpoints, row)

    async def create(self, wanted: CreateEndpoint, by: Principal) -> CreatedEndpoint:
        """Make an endpoint, for what happens from now on.

        Raises:
            WebhookUrlRefused, WebhookInvalid, RowsNotWatchable: 400. Forbidden: 403. TooManyWebhooks: 409.
            Unavailable: 503.
        """
        secret = _checked(wanted.secret) if wanted.secret is not None else new_secret()
        row = self._row(wanted, by)
        self._demand(row, wanted.headers)
        watched = wanted.rows if wanted.is_enabled else ()
        demand_rows(by, wanted.rows, watched)
        async with watching(self._database) as work:
            endpoints = EndpointRepository(work)
            await watch_rows(work, row.id, watched)
            await endpoints.lock_place()
            if await endpoints.count_all() >= self._settings.max_endpoints:
                raise TooManyWebhooks(f"There are {self._settings.max_endpoints} endpoints already.")
            row.active_from = await endpoints.place_of_now()
            row.active_until = None if row.is_enabled else row.active_from
            work.add(row)
            await work.flush()
            work.add(self._secret(row.id, secret))
            created = WebhookEndpointCreated(
                endpoint_id=str(row.id),
                endpoint_name=row.name,
                url=row.url,
                events=tuple(row.events),
                tables=_tables(row),
            )
            await outbox.publish(work, created, key=created.endpoint_id)
            await work.flush()
            return CreatedEndpoint(endpoint=view(row), secret=secret)

    async def change(self, endpoint_id: UUID, patch: EndpointPatch, by: Principal) -> EndpointView:
        """Change an endpoint; from the events on that are not handed on yet.

        Raises:
            NotFound: 404. WebhookUrlRefused, WebhookInvalid, RowsNotWatchable: 400. Forbidden: 403.
            Unavailable: 503.
        """
        given = {name: value for name, value in msgspec.structs.asdict(patch).items() if value is not UNSET}
        async with watching(self._database) as work:
            endpoints = EndpointRepository(work)
            if given.keys() & _WATCHING:
                self._rules.demand_tables(stored(given.get("rows", ())))
                await fit_watches(work, endpoint_id, given, by)
            place = await endpoints.lock_place()
            row = await _get(endpoints, endpoint_id)
            demand_rows(by, msgspec.convert(row.rows, tuple[RowSubscription, ...]))
            url_before = row.url
            changed = self._apply(row, given)
            self._demand(row, given.get("headers", {}))
            if row.header_names and "headers" not in given:
                self._rules.demand_headers_anew(url_before, row.url)
            if changed & _MENDING:
                row.consecutive_failures, row.failing_since, row.opened_until = 0, None, None
            if "is_enabled" in changed:
                await self._switch(endpoints, row, place)
            elif changed & _MATCHING and row.is_enabled:
                row.active_from = place
            if changed:
                row.updated_at = clock.now()
                await self._publish_change(work, row, changed)
            await work.flush()
            return await _shown(endpoints, row)

    async def delete(self, endpoint_id: UUID) -> None:
        """Delete an endpoint with its secrets, deliveries and log.

        It is disabled first; then its deliveries go in batches, during which events are fanned out to others.

        Raises:
            NotFound: 404. Unavailable: 503.
        """
        async with watching(self._database) as work:
            endpoints = EndpointRepository(work)
            await unwatch_rows(work, endpoint_id)
            place = await endpoints.lock_place()
            row = await _get(endpoints, endpoint_id)
            if row.is_enabled:
                row.is_enabled = False
                await self._switch(endpoints, row, place)
        forgotten = FORGET_BATCH
        while forgotten == FORGET_BATCH:
            async with self._database.unit_of_work() as work:
                endpoints = EndpointRepository(work)
                # before the deliveries, as everybody does
                await endpoints.find_locked(endpoint_id)
                forgotten = await endpoints.forget(endpoint_id, FORGET_BATCH)
        async with self._database.unit_of_work() as work:
            endpoints = EndpointRepository(work)
            await endpoints.lock_place()
            if (left := await endpoints.find_locked(endpoint_id)) is None:
                return
            row = left
            deleted = WebhookEndpointDeleted(endpoint_id=str(row.id), endpoint_name=row.name, url=row.url)
            await outbox.publish(work, deleted, key=deleted.endpoint_id)
            await endpoints.remove(row)

    async def disable(self, endpoint_id: UUID, reason: str) -> None:
        """Disable an endpoint that is ``gone`` or ``failing``: give up what waits, and tell its owner.

        A subscriber of the event undoes its watches: sending waits for nobody's table.
        """
        async with self._database.unit_of_work() as work:
            endpoints = EndpointRepository(work)
            place = await endpoints.lock_place()
            row = await endpoints.find_locked(endpoint_id)
            if row is None or not row.is_enabled:
                return
            row.is_enabled = False
            buried = await self._switch(endpoints, row, place, reason)
            disabled = WebhookEndpointDisabled(
                endpoint_id=str(row.id),
                endpoint_name=row.name,
                url=row.url,
                reason=reason,
                owner_id=None if row.owner_id is None else str(row.owner_id),
                dead_letters=buried,
            )
            await outbox.publish(work, disabled, key=disabled.endpoint_id)
            if row.owner_id is not None and (email := await endpoints.find_email(row.owner_id)):
                await self._tell(work, email, row, reason)

    def _row(self, wanted: CreateEndpoint, by: Principal) -> WebhookEndpoint:
        given = msgspec.structs.asdict(wanted)
        defaults = {
            "timeout_seconds": self._settings.timeout_seconds,
            "retry_base_seconds": self._settings.retry_base_seconds,
            "retry_max_seconds": self._settings.retry_max_seconds,
            "retry_window_seconds": self._settings.retry_hours * 3600,
        }
        endpoint_id = uuid7()
        plain = {
            name: given[name]
            for name in given
            if name not in {"secret", "headers", "events", "rows", "filters"}
        }
        now = clock.now()
        return WebhookEndpoint(
            **plain | {name: value for name, value in defaults.items() if given[name] is None},
            id=endpoint_id,
            events=list(wanted.events),
            filters=stored(wanted.filters),
            rows=stored(wanted.rows),
            header_names=sorted(wanted.headers),
            headers=self._vault.close_headers(endpoint_id, wanted.headers),
            owner_id=_person(by),
            disabled_at=None if wanted.is_enabled else now,
            disabled_reason=None if wanted.is_enabled else BY_HAND,
            consecutive_failures=0,
            tokens=float(wanted.rate_per_second or 0),
            created_at=now,
            updated_at=now,
        )

    def _secret(self, endpoint_id: UUID, secret: str) -> WebhookSecret:
        secret_id = uuid7()
        return WebhookSecret(
            id=secret_id, endpoint_id=endpoint_id, secret=self._vault.close_secret(secret_id, secret)
        )

    def _apply(self, row: WebhookEndpoint, given: dict[str, Any]) -> frozenset[str]:
        """Put what is given into the row; return the fields that are other than before."""
        changed = set()
        for name, value in given.items():
            if name == "headers":
                row.header_names = sorted(value)
                row.headers = self._vault.close_headers(row.id, value)
                changed.add(name)
                continue
            kept = value
            if name == "events":
                kept = list(value)
            elif name in {"filters", "rows"}:
                kept = stored(value)
            if getattr(row, name) != kept:
                setattr(row, name, kept)
                changed.add(name)
        return frozenset(changed)

    def _demand(self, row: WebhookEndpoint, headers: dict[str, str]) -> None:
        self._rules.demand_url(row.url)
        self._rules.demand_headers(headers)
        self._rules.demand_patterns(row.events)
        self._rules.demand_tables(row.rows)
        self._rules.demand_wait(row.retry_base_seconds, row.retry_max_seconds)

    async def _switch(
        self, endpoints: EndpointRepository, row: WebhookEndpoint, place: int, reason: str = BY_HAND
    ) -> int:
        """Write down that the endpoint was enabled or disabled; return how many deliveries were given up."""
        if row.is_enabled:
            row.disabled_at = row.disabled_reason = row.active_until = None
            row.active_from = await endpoints.place_of_now()
            return 0
        row.disabled_at, row.disabled_reason, row.active_until = clock.now(), reason, place
        return await endpoints.bury_waiting(row.id)

    @staticmethod
    async def _publish_change(work: AsyncSession, row: WebhookEndpoint, changed: frozenset[str]) -> None:
        updated = WebhookEndpointUpdated(
            endpoint_id=str(row.id),
            endpoint_name=row.name,
            fields=tuple(sorted(changed)),
            url=row.url,
            events=tuple(row.events),
            tables=_tables(row),
            is_enabled=row.is_enabled,
        )
        await outbox.publish(work, updated, key=updated.endpoint_id)


def _tables(row: WebhookEndpoint) -> tuple[str, ...]:
    return tuple(f"{one['schema']}.{one['table']}" for one in row.rows)


async def _shown(endpoints: EndpointRepository, row: WebhookEndpoint) -> EndpointView:
    return view(row, (await endpoints.row_problems(row.id))[row.id])


async def _get(endpoints: EndpointRepository, endpoint_id: UUID) -> WebhookEndpoint:
    row = await endpoints.find_locked(endpoint_id)
    if row is None:
        raise NotFound(NO_ENDPOINT)
    return row


def _checked(secret: str) -> str:
    try:
        read_secret(secret)
    except ValueError as error:
        raise WebhookInvalid(str(error)) from error
    return secret


def _person(by: Principal) -> UUID | None:
    """Return the user who asks; keys and the command line own nothing."""
    try:
        return None if by.subject is None else UUID(by.subject)
    except ValueError:
        return None
