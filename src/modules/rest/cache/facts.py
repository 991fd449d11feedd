"""`Facts`: what the database says of the tables that are cached, and a fingerprint that says when it changes.

The fingerprint is read with each heartbeat, so that a policy, a right or a trigger that changes is seen
within the bound, also where the owner may have no event triggers.
"""

# constants alone are put together here
# ruff: noqa: S608
from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from modules.rest.cache.trees import Claims, Function, Reading, functions_in, join_claims, read_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import asyncpg

TRIGGER: Final = "monohull_cache"
_STATEMENT_LEVEL: Final = 4 + 8 + 16 + 32
"""``tgtype`` of AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE, for each statement."""

_INHERITS: Final = "exists (select from pg_inherits where inhrelid = c.oid or inhparent = c.oid)"

FINGERPRINT: Final = f"""
select md5(concat_ws('|',
    (select string_agg(md5(concat_ws(',',
        c.oid, c.xmin, n.xmin, {_INHERITS},
        (select string_agg(concat_ws(' ', t.oid, t.xmin), ',' order by t.oid)
           from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal),
        (select string_agg(concat_ws(' ', p.oid, p.xmin), ',' order by p.oid)
           from pg_policy p where p.polrelid = c.oid),
        (select string_agg(a.xmin::text, ',' order by a.attnum)
           from pg_attribute a where a.attrelid = c.oid and a.attnum > 0)
     )), ',' order by c.oid)
     from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = any ($1::oid[])),
    (select concat_ws(' ', count(*), sum(xmin::text::bigint)) from pg_auth_members),
    (select concat_ws(' ', count(*),
                      sum(hashtext(concat_ws(',', oid, rolname, rolsuper, rolbypassrls))::bigint))
       from pg_roles),
    (select string_agg(concat_ws(' ', p.oid, p.xmin), ',' order by p.oid) from pg_proc p
      where p.proname in ('uid', 'role', 'email', 'jwt') and p.pronamespace = to_regnamespace('auth'))
))
"""

_TABLES: Final = f"""
select c.oid, n.nspname as schema, c.relname as name, c.relkind::text as kind, {_INHERITS} as inherits,
    c.relrowsecurity as has_row_security, t.tgargs as arguments,
    t.tgenabled = 'A' and t.tgtype = {_STATEMENT_LEVEL} and t.tgqual is null and t.tgattr::text = ''
        as is_whole,
    exists (select from pg_subscription_rel s where s.srrelid = c.oid) as is_subscribed,
    monohull.has_foreign_types(c.oid, false) as has_foreign_types
from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
where t.tgfoid = to_regprocedure('monohull.tell_of_rows()') and t.tgname = '{TRIGGER}'
order by 2, 3
"""
_POLICIES: Final = """
select p.polrelid as relation, p.polname as name, p.polqual::text as tree,
    case when 0 = any (p.polroles) then null
         else array(select r.rolname::text from pg_roles r where r.oid = any (p.polroles)) end as roles
from pg_policy p where p.polrelid = any ($1::oid[]) and p.polcmd in ('r', '*')
order by p.polname
"""
_FUNCTIONS: Final = """
select p.oid, p.oid::regprocedure::text as name, p.provolatile = 'i' as is_immutable,
    p.pronamespace = to_regnamespace('auth') and p.proname in ('uid', 'role', 'email', 'jwt')
        and p.pronargs = 0 and not p.prosecdef and p.proconfig is null as is_of_auth,
    p.proname::text as bare, pg_get_function_sqlbody(p.oid) as body
from pg_proc p where p.oid = any ($1::oid[])
"""
_MEMBERS: Final = """
select m.rolname::text as member, r.rolname::text as role
from pg_auth_members a join pg_roles m on m.oid = a.member join pg_roles r on r.oid = a.roleid
"""
_BYPASSING: Final = "select rolname::text from pg_roles where rolsuper or rolbypassrls"

_BLANK: Final = re.compile(r"\s+")
_SETTING: Final = "current_setting('request.jwt.claims'::text, true)"


def _claim(name: str) -> str:
    return (
        f"NULLIF(CASE WHEN ({_SETTING} <> ''::text) THEN (({_SETTING})::jsonb ->> '{name}'::text) "
        f"ELSE current_setting('request.jwt.claim.{name}'::text, true) END, ''::text)"
    )


_BODIES: Final[Mapping[str, tuple[str, Claims]]] = {
    "uid": (f"RETURN ({_claim('sub')})::uuid", frozenset({"sub"})),
    "role": (f"RETURN {_claim('role')}", frozenset({"role"})),
    "email": (f"RETURN {_claim('email')}", frozenset({"email"})),
    "jwt": (
        (
            f"RETURN (COALESCE(NULLIF({_SETTING}, ''::text), "
            "NULLIF(current_setting('request.jwt.claim'::text, true), ''::text)))::jsonb"
        ),
        "all",
    ),
}
"""The platform's own functions, as PostgreSQL writes them. One that somebody has replaced is not known."""


class Policy(Struct, frozen=True):
    """A policy for SELECT.

    Attributes:
        roles: To whom it applies; None for all.
    """

    name: str
    roles: frozenset[str] | None
    reading: Reading


class CachedTable(Struct, frozen=True):
    """A table that is marked.

    Attributes:
        schema, name: Its name.
        oid: Its number.
        max_age_seconds: So long an answer is kept at most.
        fault: Why no answer is kept of it, or None.
        policies: What decides about its rows.
    """

    schema: str
    name: str
    oid: int
    max_age_seconds: int
    fault: str | None
    policies: tuple[Policy, ...]


class Facts(Struct, frozen=True, eq=False):
    """What was read of the database at one moment.

    Attributes:
        tables: Those that are marked, by schema and name.
        oids: Their numbers.
        memberships: Roles that each role is a member of, whatever it inherits.
        bypassing: Roles that no policy applies to.
        fingerprint: Changes with any of this, and with the rights to the tables.
        names: Of the tables, without their schemas.
    """

    tables: Mapping[tuple[str, str], CachedTable] = {}
    oids: tuple[int, ...] = ()
    memberships: Mapping[str, frozenset[str]] = {}
    bypassing: frozenset[str] = frozenset()
    fingerprint: str = ""
    names: frozenset[bytes] = frozenset()

    def reading(self, key: tuple[str, str], role: str) -> Reading:
        """Return what decides about the rows of a marked table that ``role`` sees."""
        table = self.tables[key]
        if table.fault is not None:
            return Reading(why=table.fault)
        claims: Claims = frozenset()
        if role in self.bypassing:
            return Reading(claims)
        roles = {role} | self.memberships.get(role, frozenset())
        for policy in table.policies:
            if policy.roles is None or policy.roles & roles:
                if policy.reading.why is not None:
                    return Reading(why=f'of the policy "{policy.name}": {policy.reading.why}')
                claims = join_claims(claims, policy.reading.claims)
        return Reading(claims)


NO_FACTS: Final = Facts()


async def read_facts(connection: asyncpg.Connection[Any]) -> Facts:
    """Read what there is to know.

    Raises:
        asyncpg.PostgresError: The server refused; the schema may be an older one.
        OSError: The connection was lost.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        # so that whatever is not PostgreSQL's own is written with its schema
        await connection.execute("set local search_path = pg_catalog, pg_temp")
        rows = await connection.fetch(_TABLES)
        oids = [row["oid"] for row in rows]
        policies = await connection.fetch(_POLICIES, oids)
        called = frozenset[int]().union(*(functions_in(row["tree"] or "") for row in policies))
        functions = _functions(await connection.fetch(_FUNCTIONS, sorted(called)))
        members = await connection.fetch(_MEMBERS)
        bypassing = await connection.fetch(_BYPASSING)
        fingerprint = await connection.fetchval(FINGERPRINT, oids)
    by_table: dict[int, list[Policy]] = {}
    for row in policies:
        roles = None if row["roles"] is None else frozenset(row["roles"])
        policy = Policy(row["name"], roles, read_tree(row["tree"] or "", functions))
        by_table.setdefault(row["relation"], []).append(policy)
    tables = [_table(row, by_table.get(row["oid"], ())) for row in rows]
    return Facts(
        tables={(table.schema, table.name): table for table in tables},
        oids=tuple(oids),
        memberships=_closure((row["member"], row["role"]) for row in members),
        bypassing=frozenset(row[0] for row in bypassing),
        fingerprint=fingerprint,
        names=frozenset(table.name.encode() for table in tables),
    )


def _table(row: Mapping[str, Any], policies: Sequence[Policy]) -> CachedTable:
    argument = bytes(row["arguments"]).split(b"\0")[0].decode("ascii", "replace")
    max_age = int(argument) if argument.isdecimal() else 0
    return CachedTable(
        schema=row["schema"],
        name=row["name"],
        oid=row["oid"],
        max_age_seconds=max_age,
        fault=_fault(row, max_age),
        policies=tuple(policies) if row["has_row_security"] else (),
    )


def _fault(row: Mapping[str, Any], max_age: int) -> str | None:
    if row["kind"] != "r" or row["inherits"]:
        return "it is, or has, a partition or a child, which can be written to by another name"
    if not row["is_whole"] or max_age <= 0:
        return "its trigger was changed or switched off; mark it again"
    if row["is_subscribed"]:
        return "a subscription writes to it, and tells nobody"
    if row["has_foreign_types"]:
        return "it has columns of types whose casts are somebody else's"
    return None


def _functions(rows: Iterable[Mapping[str, Any]]) -> dict[int, Function]:
    found: dict[int, Function] = {}
    for row in rows:
        body, claims = _BODIES.get(row["bare"], ("", None)) if row["is_of_auth"] else ("", None)
        is_known = claims is not None and _without_blanks(row["body"] or "") == _without_blanks(body)
        found[row["oid"]] = Function(row["name"], row["is_immutable"], claims if is_known else None)
    return found


def _without_blanks(text: str) -> str:
    return _BLANK.sub("", text)


def _closure(pairs: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Return all roles that each is a member of, directly or not.

    >>> sorted(_closure([("a", "b"), ("b", "c")])["a"])
    ['b', 'c']
    """
    direct: dict[str, set[str]] = {}
    for member, role in pairs:
        direct.setdefault(member, set()).add(role)
    found: dict[str, frozenset[str]] = {}
    for member, roles in direct.items():
        seen: set[str] = set()
        left = list(roles)
        while left:
            role = left.pop()
            if role not in seen:
                seen.add(role)
                left += direct.get(role, ())
        found[member] = frozenset(seen)
    return found
