"""Entries → rows: batches of one transaction each, and nobody who is there already is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from modules.auth.events import UsersImported
from modules.auth.intake.preparing import IDENTITY_COLUMNS, USER_COLUMNS, Prepared, Rules, prepare
from modules.auth.intake.records import Entry, Rejection
from monohull.kernel import clock, outbox
from monohull.kernel.database.engine import driver_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.intake.report import Report, Tally
    from monohull.kernel.database.engine import Database

BATCH: Final = 500
"""Users in one transaction."""


class _Known(Struct, frozen=True):
    """Whom the database has already, as far as a batch asks, and whom the batch has brought so far."""

    ids: set[UUID]
    emails: set[str]
    phones: set[str]
    identities: set[tuple[str, str]]


class Intake:
    """Takes users over.

    Args:
        database: Where they go.
        tally: Counts.
        rules: What is done with those that do not quite fit.
    """

    def __init__(self, database: Database, tally: Tally, rules: Rules) -> None:
        self._database = database
        self._tally = tally
        self._rules = rules

    async def run(self, entries: AsyncIterator[Entry]) -> Report:
        """Take everybody; return what happened.

        Raises:
            DatabaseUnavailable: 503; whole batches before it are in, and a second run goes on there.
        """
        began = clock.monotonic_seconds()
        if self._tally.report.dry_run:
            await self._rehearse(entries)
        else:
            async for batch in self._batches(entries):
                async with self._database.unit_of_work() as work:
                    await self._take(work, batch)
        return self._tally.finish(clock.monotonic_seconds() - began)

    async def _rehearse(self, entries: AsyncIterator[Entry]) -> None:
        async with self._database.unit_of_work() as work:
            async for batch in self._batches(entries):
                await self._take(work, batch)
            await work.rollback()

    async def _batches(self, entries: AsyncIterator[Entry]) -> AsyncIterator[list[Prepared]]:
        batch: list[Prepared] = []
        async for entry in entries:
            self._tally.report.read += 1
            try:
                if isinstance(entry.found, Rejection):
                    raise entry.found
                batch.append(prepare(entry.where, entry.found, self._rules, clock.now(), entry.notes))
            except Rejection as rejection:
                name = "" if isinstance(entry.found, Rejection) else entry.found.name
                self._tally.refuse(entry.where, name, rejection)
            if len(batch) >= BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    async def _take(self, work: AsyncSession, batch: list[Prepared]) -> None:
        new = self._new_of(batch, await _known(work, batch))
        if not new:
            return
        try:
            async with work.begin_nested():
                await _insert(work, new)
        except DBAPIError:
            new = [one for one in new if await self._take_alone(work, one)]
        self._tally.report.created += len(new)
        for one in new:
            self._tally.note(one.notes)
        if new:
            await outbox.publish(work, UsersImported(source=self._tally.report.source, users=len(new)))

    async def _take_alone(self, work: AsyncSession, one: Prepared) -> bool:
        """Insert one user of a batch that did not go in as a whole; say whether it did."""
        try:
            async with work.begin_nested():
                await _insert(work, [one])
        except DBAPIError as error:
            words = str(driver_error(error)).partition("\n")[0]
            self._tally.refuse(
                one.where, one.name, Rejection("database", f"the database refuses it: {words}")
            )
            return False
        return True

    def _new_of(self, batch: list[Prepared], known: _Known) -> list[Prepared]:
        """Return who is not there yet and may come in."""
        new = []
        for one in batch:
            try:
                if _is_there(one, known):
                    self._tally.report.kept += 1
                    continue
            except Rejection as rejection:
                self._tally.refuse(one.where, one.name, rejection)
                continue
            new.append(one)
            known.ids.add(one.user["id"])
            known.identities.update(_keys(one))
            if one.user["email"] and not one.user["is_sso_user"]:
                known.emails.add(one.user["email"])
            if one.user["phone"]:
                known.phones.add(one.user["phone"])
        return new


def _is_there(one: Prepared, known: _Known) -> bool:
    """Say whether somebody is there already.

    Raises:
        Rejection: Somebody else is, with the same address, number or identity.
    """
    if one.has_own_id and one.user["id"] in known.ids:
        return True
    has_email = one.user["email"] in known.emails and not one.user["is_sso_user"]
    has_phone = one.user["phone"] in known.phones
    has_identity = not known.identities.isdisjoint(_keys(one))
    if not one.has_own_id and (has_email or has_phone or has_identity):
        return True
    if has_email:
        raise Rejection("email_taken", "another user has this address")
    if has_phone:
        raise Rejection("phone_taken", "another user has this number")
    if has_identity:
        raise Rejection("identity_taken", "another user is recognised by one of its identities")
    return False


def _keys(one: Prepared) -> list[tuple[str, str]]:
    return [(identity["provider"], identity["provider_id"]) for identity in one.identities]


async def _known(work: AsyncSession, batch: list[Prepared]) -> _Known:
    """Ask what the database has of a batch, by index in each case."""
    users = [one.user for one in batch]
    keys = [key for one in batch for key in _keys(one)]
    asked: dict[str, list[Any]] = {
        "ids": [one.user["id"] for one in batch if one.has_own_id],
        "emails": [user["email"] for user in users if user["email"]],
        "phones": [user["phone"] for user in users if user["phone"]],
        "providers": [provider for provider, _ in keys],
        "provider_ids": [provider_id for _, provider_id in keys],
    }
    known = _Known(set(), set(), set(), set())
    known.ids.update(await work.scalars(_IDS, {"ids": asked["ids"]}))
    known.emails.update(await work.scalars(_EMAILS, {"emails": asked["emails"]}))
    known.phones.update(await work.scalars(_PHONES, {"phones": asked["phones"]}))
    pairs = {name: asked[name] for name in ("providers", "provider_ids")}
    known.identities.update((row[0], row[1]) for row in await work.execute(_IDENTITIES, pairs))
    return known


async def _insert(work: AsyncSession, new: Sequence[Prepared]) -> None:
    """Insert whole batches as one parameter each: the database takes the rows apart."""
    await work.execute(_INSERT_USERS, {"rows": _json([one.user for one in new])})
    identities = [identity for one in new for identity in one.identities]
    await work.execute(_INSERT_IDENTITIES, {"rows": _json(identities)})


def _json(rows: list[dict[str, Any]]) -> str:
    return msgspec.json.encode(rows).decode()


_IDS: Final = text("select id from auth.users where id = any(cast(:ids as uuid[]))")
_EMAILS: Final = text(
    "select lower(email) from auth.users"
    " where lower(email) = any(cast(:emails as text[])) and not is_sso_user"
)
_PHONES: Final = text("select phone from auth.users where phone = any(cast(:phones as text[]))")
_IDENTITIES: Final = text(
    "select i.provider, i.provider_id from auth.identities i"
    " join unnest(cast(:providers as text[]), cast(:provider_ids as text[])) as asked(provider, provider_id)"
    " on (i.provider_id, i.provider) = (asked.provider_id, asked.provider)"
)
_INSERT_USERS: Final = text(
    f"insert into auth.users ({', '.join(USER_COLUMNS)}) select {', '.join(USER_COLUMNS)}"  # noqa: S608 ours
    " from jsonb_populate_recordset(null::auth.users, cast(:rows as jsonb))"
)
_INSERT_IDENTITIES: Final = text(
    f"insert into auth.identities ({', '.join(IDENTITY_COLUMNS)}) select {', '.join(IDENTITY_COLUMNS)}"  # noqa: S608 ours
    " from jsonb_populate_recordset(null::auth.identities, cast(:rows as jsonb))"
)
