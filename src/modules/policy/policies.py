"""The policies of a relation, and what each says of a row when it is asked as the caller.

Nothing is decided here but how policies are joined, which is PostgreSQL's documented rule: one permissive
policy has to be true, and every restrictive one. What a policy says of a row is found by evaluating its own
expression on the row, as the caller's role with the caller's settings; what it is called on is a value of
the relation's type, since the caller cannot see the row.
"""

# expressions are the catalog's, names are quoted, and rows are parameters
# ruff: noqa: S608
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import Struct

from modules.policy.quoting import qualified, strictly_quoted
from modules.policy.reading import Reads, called_in, read_by
from monohull.kernel.database.frames import PostgresError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modules.policy.held import Held
    from modules.policy.relations import Relation

Command: TypeAlias = Literal["SELECT", "INSERT", "UPDATE", "DELETE"]
Result: TypeAlias = Literal["true", "false", "null", "error"]

COMMANDS: Final = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "*": "ALL"}
MAX_DEPTH: Final = 3
"""Functions that are looked into below a policy."""

_POLICIES: Final = """
SELECT p.polname AS name, p.polpermissive AS is_permissive, p.polcmd::text AS command,
  ARRAY(SELECT CASE r.oid WHEN 0 THEN 'public' ELSE pg_get_userbyid(r.oid) END
    FROM unnest(p.polroles) AS r(oid))::text[] AS roles,
  EXISTS (SELECT FROM unnest(p.polroles) AS r(oid)
    WHERE CASE r.oid WHEN 0 THEN true ELSE pg_has_role(r.oid, 'USAGE') END) AS is_for_caller,
  pg_get_expr(p.polqual, p.polrelid) AS using_text,
  pg_get_expr(p.polwithcheck, p.polrelid) AS check_text,
  ARRAY(SELECT DISTINCT a.attname FROM pg_depend d JOIN pg_attribute a
      ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_policy'::regclass AND d.objid = p.oid
      AND d.refclassid = 'pg_class'::regclass AND d.refobjid = p.polrelid
      AND d.refobjsubid > 0)::text[] AS columns
FROM pg_policy p WHERE p.polrelid = $1 ORDER BY p.polpermissive DESC, p.polname
"""

_FUNCTIONS: Final = """
SELECT n.name, p.oid::regprocedure::text AS signature, p.pronargs = 0 AS is_bare,
  p.provolatile <> 'v' AS is_steady, p.proretset AS is_set,
  coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) AS body
FROM unnest($1::text[]) AS n(name) JOIN pg_proc p ON p.oid = to_regproc(n.name)
WHERE p.pronamespace <> 'pg_catalog'::regnamespace AND p.prokind = 'f'
"""


class Phase(Struct, frozen=True):
    """One time at which policies are asked.

    Attributes:
        command: Whose policies.
        clause: Which expression of theirs decides.
        about: What row is meant, for people.
    """

    command: Command
    clause: Literal["USING", "WITH CHECK"]
    about: str = "the row"

    @property
    def title(self) -> str:
        """For people: ``USING for SELECT``."""
        return f"{self.clause} for {self.command}"


class Policy(Struct, frozen=True):
    """A policy as the catalog has it; expressions are texts that PostgreSQL printed for the caller."""

    name: str
    is_permissive: bool
    command: str
    roles: tuple[str, ...]
    is_for_caller: bool
    using: str | None
    check: str | None
    columns: tuple[str, ...]

    def concerns(self, phase: Phase) -> bool:
        """Say whether it is asked in ``phase``, by some role."""
        return self.command in ("ALL", phase.command) and self.expression(phase) is not None

    def expression(self, phase: Phase) -> str | None:
        """Return what decides: without a WITH CHECK it is USING, but for policies of SELECT and DELETE."""
        if phase.clause == "USING" or phase.command in ("SELECT", "DELETE"):
            return self.using
        return self.check if self.check is not None else self.using

    @property
    def kind(self) -> str:
        """``permissive`` or ``restrictive``."""
        return "permissive" if self.is_permissive else "restrictive"


class Function(Struct, frozen=True):
    """A function that policies may call."""

    signature: str
    can_be_shown: bool
    body: str


class Policies(Struct, frozen=True):
    """All policies of a relation, and what the functions they call are about."""

    all: tuple[Policy, ...]
    functions: Mapping[str, Function]
    reads: Mapping[str, Reads]


async def read_policies(held: Held, relation: Relation) -> Policies:
    """Return the policies of ``relation``, as the caller is told of them."""
    async with held.as_caller():
        rows = await held.fetch(_POLICIES, relation.oid)
        found = tuple(
            Policy(
                row["name"],
                row["is_permissive"],
                COMMANDS[row["command"]],
                tuple(row["roles"]),
                row["is_for_caller"],
                row["using_text"],
                row["check_text"],
                tuple(row["columns"]),
            )
            for row in rows
        )
        texts = [text for policy in found for text in (policy.using, policy.check) if text is not None]
        functions = await _functions(held, texts)
    return Policies(found, functions, _reads(functions))


async def _functions(held: Held, texts: Sequence[str]) -> dict[str, Function]:
    """Return the functions that stand in ``texts``, and in each other's bodies."""
    known: dict[str, Function] = {}
    wanted = [name for text in texts for name in called_in(text)]
    for _ in range(MAX_DEPTH):
        names = [name for name in dict.fromkeys(wanted) if name not in known]
        if not names:
            break
        rows = await _look_up(held, names)
        fresh = {
            row["name"]: Function(
                row["signature"], row["is_bare"] and row["is_steady"] and not row["is_set"], row["body"]
            )
            for row in rows
        }
        known |= fresh
        wanted = [name for one in fresh.values() for name in called_in(one.body)]
    return known


async def _look_up(held: Held, names: Sequence[str]) -> list[Any]:
    """Return what is known of functions; a name that cannot be one is passed over."""
    try:
        async with held.undone():
            return await held.fetch(_FUNCTIONS, list(names))
    except PostgresError:
        return []


def _reads(functions: Mapping[str, Function]) -> dict[str, Reads]:
    """Return what each function reads; those that call others come to it in the next round."""
    reads: dict[str, Reads] = {}
    for _ in range(MAX_DEPTH):
        reads = {name: read_by(function.body, reads) for name, function in functions.items()}
    return reads


async def evaluate(held: Held, relation: Relation, expression: str, row: str) -> tuple[Result, str | None]:
    """Return what an expression says of a row, asked as the caller, and PostgreSQL's message for an error."""
    sql = (
        f"SELECT ({expression})::text AS result "
        f"FROM unnest(ARRAY[$1::text::{qualified(relation.key)}]) AS {strictly_quoted(relation.key[1])}"
    )
    try:
        async with held.as_caller():
            [found] = await held.rows(sql, [row])
    except PostgresError as error:
        return "error", f"{error.sqlstate}: {error.message}"
    result = found["result"]
    if result is None:
        return "null", None
    return ("true" if result == "true" else "false"), None


async def value_of(held: Held, relation: Relation, expression: str, row: str) -> str | None:
    """Return what a part of an expression gives the caller for a row, as text; of an error its message."""
    sql = (
        f"SELECT ({expression})::text AS value "
        f"FROM unnest(ARRAY[$1::text::{qualified(relation.key)}]) AS {strictly_quoted(relation.key[1])}"
    )
    try:
        async with held.as_caller():
            [found] = await held.rows(sql, [row])
    except PostgresError as error:
        return f"error {error.sqlstate}: {error.message}"
    value: str | None = found["value"]
    return value


async def values_of(
    held: Held, relation: Relation, row: str, columns: Sequence[str]
) -> dict[str, str | None]:
    """Return columns of a row as text."""
    sql = (
        "SELECT e.key, e.value FROM "
        f"unnest(ARRAY[$1::text::{qualified(relation.key)}]) AS r, jsonb_each_text(to_jsonb(r)) AS e "
        "WHERE e.key = ANY ($2::text[])"
    )
    async with held.as_owner():
        rows = await held.fetch(sql, row, list(columns))
    found = {row["key"]: row["value"] for row in rows}
    return {name: found.get(name) for name in columns if name in found}


async def call(held: Held, signature: str) -> str | None:
    """Return what a function without arguments gives the caller, as text; None where it gives nothing."""
    try:
        async with held.as_caller():
            [found] = await held.fetch(f"SELECT ({signature})::text AS value")
    except PostgresError as error:
        return f"error {error.sqlstate}: {error.message}"
    value: str | None = found["value"]
    return value
