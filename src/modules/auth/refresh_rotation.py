"""The usual refresh in one statement and one round trip: a live token of a live session is rotated.

The locks are taken in the order in which everything else in auth takes them:
user, session, token. Two refreshes of one session wait for each other at the
session's row; the second then finds its token revoked, since an UPDATE looks
again at a row it had to wait for, and rotates nothing. Whatever is not usual
returns nothing here and is decided, and worded, by `services.refresh_grant`.

The statement is a transaction of its own: there is no moment at which a
process could die and leave a token rotated by half.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 msgspec reads it
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID  # noqa: TC003 msgspec reads it

import msgspec
from sqlalchemy.dialects.postgresql import JSONB

from modules.auth.events import TokenRefreshed
from modules.auth.models import AmrClaim, Factor, Identity, Session, User
from monohull.kernel import clock
from monohull.kernel.ids import hash_token, uuid7
from monohull.kernel.outbox import cause

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modules.auth.origin import Origin
    from monohull.kernel.database.base import Base
    from monohull.kernel.database.engine import Database


def _columns(model: type[Base], alias: str) -> str:
    return ", ".join(f'{alias}."{name}" as {alias}_{name}' for name in model.__table__.columns.keys())  # noqa: SIM118


_ROTATE: Final = f"""
    with presented as (
        select t.id, t.session_id
        from auth.users as u join auth.refresh_tokens as t on t.user_id = u.id
        where t.token = $1 and not t.revoked
            and u.deleted_at is null and (u.banned_until is null or u.banned_until <= $3)
        for key share of u
    ), renewed as (
        update auth.sessions as s set refreshed_at = $3, updated_at = $3, user_agent = $4, ip = $5
        from presented
        where s.id = presented.session_id
            and s.oauth_client_id is not distinct from $14::uuid
            and (s.not_after is null or s.not_after > $3)
            and coalesce(s.created_at + make_interval(secs => $6) > $3, true)
            and coalesce(coalesce(s.refreshed_at, s.created_at) + make_interval(secs => $7) > $3, true)
        returning s.*
    ), rotated as (
        update auth.refresh_tokens as t set revoked = true, updated_at = $3
        from renewed, presented
        where t.id = presented.id and renewed.id = presented.session_id and not t.revoked
        returning t.token, t.user_id, t.session_id
    ), followed as (
        insert into auth.refresh_tokens (token, parent, user_id, session_id, created_at, updated_at)
        select $2, token, user_id, session_id, $3, $3 from rotated
        returning user_id, session_id
    ), published as (
        insert into monohull.outbox (id, name, version, key, actor, request_id, traceparent, payload)
        select $8, $9, $10, user_id::text, $11, $12, $13,
            json_build_object('user_id', user_id, 'session_id', session_id)
        from followed
        returning 1
    )
    select {_columns(User, "u")}, {_columns(Session, "s")},
        (select json_agg(i order by i.created_at, i.id)::text
            from auth.identities as i where i.user_id = u.id) as identities,
        (select json_agg(a order by a.updated_at desc, a.id desc)::text
            from auth.mfa_amr_claims as a where a.session_id = s.id) as amr,
        (select json_agg(f order by f.created_at, f.id)::text
            from auth.mfa_factors as f where f.user_id = u.id) as factors,
        (select pg_notify('monohull_outbox', '') from published) as told
    from followed
    join renewed as s on s.id = followed.session_id
    join auth.users as u on u.id = followed.user_id
"""  # noqa: S608 names of our own columns


class Lifetimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long a session lives, in seconds: at most, and without a refresh. None is for ever."""

    timebox: float | None
    inactivity: float | None


class Renewed(msgspec.Struct, frozen=True):
    """A session that was renewed, with what its answer shows. The rows belong to no unit of work."""

    user: User
    session: Session
    identities: Sequence[Identity]
    amr: Sequence[AmrClaim]
    factors: Sequence[Factor]


class _IdentityRow(msgspec.Struct):
    id: UUID
    provider_id: str
    user_id: UUID
    identity_data: dict[str, Any]
    provider: str
    last_sign_in_at: datetime | None
    created_at: datetime | None
    updated_at: datetime | None


class _FactorRow(msgspec.Struct):
    """What is shown of a second factor."""

    id: UUID
    user_id: UUID
    friendly_name: str | None
    factor_type: str
    status: str
    created_at: datetime
    updated_at: datetime
    phone: str | None
    last_challenged_at: datetime | None
    web_authn_aaguid: UUID | None


class _AmrRow(msgspec.Struct):
    id: UUID
    session_id: UUID
    created_at: datetime
    updated_at: datetime
    authentication_method: str


async def rotate(  # noqa: PLR0913, PLR0917 what it is renewed from, by and for
    database: Database,
    token: str,
    following: str,
    origin: Origin,
    lifetimes: Lifetimes,
    client_id: UUID | None = None,
) -> Renewed | None:
    """Put ``following`` in the place of ``token``; return the session, or None when it is not that easy.

    A session of an application is renewed for that application, ``client_id``, and for nobody else.

    Raises:
        DatabaseUnavailable: 503; repeating the request is safe.
    """
    by = cause()
    row = await database.run(
        _ROTATE,
        hash_token(token),
        hash_token(following),
        clock.now(),
        origin.agent,
        origin.ip,
        lifetimes.timebox,
        lifetimes.inactivity,
        uuid7(),
        TokenRefreshed.name,
        TokenRefreshed.version,
        by["actor"],
        by["request_id"],
        by["traceparent"],
        client_id,
    )
    if row is None:
        return None
    identities = msgspec.json.decode(row["identities"] or "[]", type=list[_IdentityRow])
    amr = msgspec.json.decode(row["amr"] or "[]", type=list[_AmrRow])
    factors = msgspec.json.decode(row["factors"] or "[]", type=list[_FactorRow])
    return Renewed(
        User(**_values(User, "u", row)),
        Session(**_values(Session, "s", row)),
        [Identity(**msgspec.structs.asdict(identity)) for identity in identities],
        [AmrClaim(**msgspec.structs.asdict(claim)) for claim in amr],
        [Factor(**msgspec.structs.asdict(factor)) for factor in factors],
    )


def _values(model: type[Base], alias: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's columns as the model has them; JSON comes as text."""
    found = {}
    for column in model.__table__.columns:
        value = row[f"{alias}_{column.name}"]
        is_json = isinstance(column.type, JSONB) and value is not None
        found[column.key] = msgspec.json.decode(value) if is_json else value
    return found
