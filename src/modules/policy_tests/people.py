"""The three people whose rows are tried, and the callers that try them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, uuid5

import msgspec
from msgspec import Struct

from modules.policy_tests.errors import CannotProve
from modules.policy_tests.project import OWN_NAMES
from modules.policy_tests.statements import undone
from monohull.kernel.database.server import LOGIN, SET_OPTION_VERSION, quote_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import asyncpg

    from modules.policy_tests.catalog import Table
    from modules.policy_tests.project import Declaration

OWN: Final = 0
COLLEAGUE: Final = 1
STRANGER: Final = 2
NAMES: Final = ("own", "colleague", "stranger")
"""The caller's row, another's of the same tenant, and one of another tenant."""

TENANTS: Final = ("a", "a", "b")
USER_IDS: Final = tuple(str(uuid5(NAMESPACE_URL, f"monohull:policy-tests:{name}")) for name in NAMES)


class Caller(Struct, frozen=True):
    """Somebody who asks.

    Attributes:
        role: Database role.
        claims: Laid over those of a person; a person's claims alone when empty.
        is_person: Brings the claims of the person `OWN`.
        bypasses: Steps over row security, and is meant to.
    """

    name: str
    role: str
    claims: Mapping[str, Any] = {}
    is_person: bool = True
    bypasses: bool = False

    def claims_json(self, person: Mapping[str, Any]) -> str:
        """Return the claims of a request of this caller."""
        own = overlaid(person, self.claims) if self.is_person else dict(self.claims)
        return msgspec.json.encode({**own, "role": self.role}).decode()


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one JSON object over another, object by object.

    >>> overlaid({"a": {"b": 1}}, {"a": {"c": 2}})
    {'a': {'b': 1, 'c': 2}}
    """
    found = dict(below)
    for name, value in above.items():
        under = found.get(name)
        found[name] = overlaid(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return found


def person_claims(
    number: int, tenants: Mapping[tuple[str, ...], str], lists: Iterable[Any]
) -> dict[str, Any]:
    """Return the claims of person ``number``, with the tenant wherever policies look for it."""
    claims: dict[str, Any] = {
        "sub": USER_IDS[number],
        "email": email_of(number),
        "aal": "aal1",
        "app_metadata": {},
        "user_metadata": {},
        "is_anonymous": False,
    }
    for path, value in sorted(tenants.items()):
        found: Any = [value] if path in lists else value
        for name in reversed(path):
            found = {name: found}
        claims = overlaid(claims, found)
    return claims


def email_of(number: int) -> str:
    """Return the address of person ``number``."""
    return f"{NAMES[number]}@policy-tests.invalid"


async def find_callers(connection: asyncpg.Connection, declaration: Declaration) -> list[Caller]:
    """Return the API roles, other roles that the login may switch to, and what the project declares.

    Raises:
        CannotProve: A declared role does not exist or cannot be switched to.
    """
    version = connection.get_server_version().major * 10_000
    kind = "SET" if version >= SET_OPTION_VERSION else "MEMBER"
    rows = await connection.fetch(
        """
        select r.rolname::text as name, r.rolsuper or r.rolbypassrls as bypasses,
               pg_has_role(current_user, r.oid, $2::text) as may_set,
               (select pg_has_role(l.oid, r.oid, $2::text) and not l.rolsuper
                  from pg_catalog.pg_roles l where l.rolname = $1) as login_may_set
        from pg_catalog.pg_roles r where r.rolname !~ '^pg_' and r.rolname <> $1 order by r.rolname
        """,
        LOGIN,
        kind,
    )
    roles = {row["name"]: row for row in rows}
    callers = [
        Caller("anon", "anon", is_person=False),
        Caller("authenticated", "authenticated"),
        Caller("service_role", "service_role", is_person=False, bypasses=roles["service_role"]["bypasses"]),
    ]
    declared = [Caller(c.name, c.role, c.claims, bypasses=c.bypasses) for c in declaration.callers]
    stated = {caller.role for caller in declared} | set(OWN_NAMES)
    callers += [
        Caller(name, name) for name, row in roles.items() if row["login_may_set"] and name not in stated
    ]
    callers += declared
    _demand_roles(callers, roles)
    return callers


def _demand_roles(callers: Iterable[Caller], roles: Mapping[str, Any]) -> None:
    faults = []
    for caller in callers:
        row = roles.get(caller.role)
        if row is None:
            faults.append(f"caller {caller.name}: there is no role {caller.role}")
        elif not row["may_set"]:
            faults.append(
                f"caller {caller.name}: the owner may not switch to the role {caller.role}; "
                f"GRANT {quote_name(caller.role)} to it"
            )
    if faults:
        raise CannotProve(faults)


async def prove(connection: asyncpg.Connection, callers: Sequence[Caller], tables: Sequence[Table]) -> None:
    """Check that every caller is bound by row security wherever it is on.

    Asks the attributes of the role, whether it has the rights of a table's owner, and as
    the role itself `row_security_active` of every table.

    Raises:
        CannotProve: With a reason for each caller that is not.
    """
    faults: list[str] = []
    for role in dict.fromkeys(caller.role for caller in callers if not caller.bypasses):
        faults += await _why_not(connection, role, tables)
    if faults:
        raise CannotProve(faults)


async def _why_not(connection: asyncpg.Connection, role: str, tables: Sequence[Table]) -> list[str]:
    row = await connection.fetchrow(
        "select rolsuper, rolbypassrls from pg_catalog.pg_roles where rolname = $1", role
    )
    advice = "it would see every row, so its cells would prove nothing"
    if row["rolsuper"]:
        return [f"the role {role} is a superuser: {advice}"]
    if row["rolbypassrls"]:
        return [f"the role {role} has BYPASSRLS: {advice}; say bypasses = true if it is meant to"]
    owned = [
        table
        for table in tables
        if table.row_security == "on"
        and await connection.fetchval("select pg_has_role($1::name, $2::name, 'USAGE')", role, table.owner)
    ]
    if not owned:
        return await _inactive(connection, role, tables)
    return [
        f"the role {role} has the rights of {table.owner}, who owns {table.title} and is not held by its "
        "policies; ALTER TABLE … FORCE ROW LEVEL SECURITY, or let another role own it"
        for table in owned
    ]


async def _inactive(connection: asyncpg.Connection, role: str, tables: Sequence[Table]) -> list[str]:
    async with undone(connection):
        await connection.execute(f"set local role {quote_name(role)}")
        oids = [table.oid for table in tables if table.row_security != "off"]
        rows = await connection.fetch(
            "select t::int8 as oid from unnest($1::int8[]) as t where not row_security_active(t::oid)", oids
        )
    titles = {table.oid: table.title for table in tables}
    return [f"row security of {titles[row['oid']]} is not active for the role {role}" for row in rows]
