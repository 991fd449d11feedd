"""What PostgreSQL says of a relation to the caller: kind, owner, row security, privileges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from modules.policy.findings import Culprit, Findings, Step
from modules.policy.quoting import quoted, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.policy.held import Held
    from modules.query import Touched

    Key = tuple[str, str]

KINDS: Final = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}

_FACTS: Final = """
SELECT c.oid, c.relkind::text AS kind, pg_get_userbyid(c.relowner) AS owner, current_user AS role,
  c.relrowsecurity AS is_on, c.relforcerowsecurity AS is_forced, c.relispartition AS is_partition,
  row_security_active(c.oid) AS is_active, has_schema_privilege(n.oid, 'USAGE') AS may_enter,
  r.rolsuper OR r.rolbypassrls AS bypasses,
  coalesce((SELECT bool_or(o.option_value IN ('true', 'on', 'yes', '1'))
    FROM pg_options_to_table(c.reloptions) o WHERE o.option_name = 'security_invoker'), false) AS is_invoker,
  ARRAY(SELECT a.attname FROM pg_index i
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY a.attnum)::text[] AS key
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles r ON r.rolname = current_user
WHERE n.nspname = $1 AND c.relname = $2
"""

_LACKING: Final = """
SELECT has_table_privilege($1::oid, $2) AS has_table,
  CASE WHEN $2 = 'DELETE' THEN false ELSE has_any_column_privilege($1::oid, $2) END AS has_any,
  CASE WHEN $2 = 'DELETE' THEN '{}' ELSE ARRAY(
    SELECT a.attname::text FROM pg_attribute a
    WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
      AND ($3::text[] IS NULL OR a.attname = ANY ($3)) AND NOT has_column_privilege($1::oid, a.attnum, $2)
    ORDER BY a.attnum) END AS lacking
"""


class Relation(Struct, frozen=True):
    """A relation, as the caller's role finds it.

    Attributes:
        oid: In this database.
        key: Schema and name.
        kind: ``table`` and so on.
        owner: Role that owns it.
        role: The caller's.
        has_row_security: It is switched on.
        is_forced: It binds the owner too.
        is_active: It binds the caller, as ``row_security_active`` says.
        bypasses: The caller's role is above it.
        may_enter: The caller may use the schema.
        is_invoker: A view that reads its tables as its caller.
        primary_key: Its columns.
    """

    oid: int
    key: Key
    kind: str
    owner: str
    role: str
    has_row_security: bool
    is_forced: bool
    is_active: bool
    bypasses: bool
    may_enter: bool
    is_invoker: bool
    primary_key: tuple[str, ...]

    @property
    def name(self) -> str:
        """Schema and name for people."""
        return shown(self.key)

    @property
    def is_view(self) -> bool:
        """Whether its rows are those of other relations."""
        return self.kind in ("view", "materialized view")

    @property
    def is_stored(self) -> bool:
        """Whether its rows have a place, by which they can be found again."""
        return self.kind in ("table", "partitioned table")


async def find_relation(held: Held, key: Key) -> Relation | None:
    """Return what the caller's role is told of a relation; None when there is none."""
    async with held.as_caller():
        rows = await held.fetch(_FACTS, *key)
    if not rows:
        return None
    row = rows[0]
    return Relation(
        oid=row["oid"],
        key=key,
        kind=KINDS.get(row["kind"], "relation"),
        owner=row["owner"],
        role=row["role"],
        has_row_security=row["is_on"],
        is_forced=row["is_forced"],
        is_active=row["is_active"],
        bypasses=row["bypasses"],
        may_enter=row["may_enter"],
        is_invoker=row["is_invoker"],
        primary_key=tuple(row["key"]),
    )


async def examine_privileges(held: Held, relation: Relation, touched: Touched, findings: Findings) -> None:
    """Ask whether the caller's role may do what the request does to a relation."""
    if not relation.may_enter:
        findings.add(Step("privilege", "refuses", f"{relation.role} may not use schema {relation.key[0]}"))
        findings.blame(
            Culprit(
                "schema_privilege",
                f"{relation.role} has no USAGE on schema {relation.key[0]}.",
                relation.name,
                touched.path,
                hint=f"GRANT USAGE ON SCHEMA {quoted(relation.key[0])} TO {quoted(relation.role)};",
            )
        )
        return
    for privilege, columns in _needed(touched):
        step, culprit = await _ask(held, relation, touched, privilege, columns)
        findings.add(step)
        if culprit is not None:
            findings.blame(culprit)


def _needed(touched: Touched) -> list[tuple[str, Sequence[str] | None]]:
    """Return privileges, each with the columns it is needed for; None for all of them."""
    needed: list[tuple[str, Sequence[str] | None]] = []
    if touched.verb == "insert":
        needed.append(("INSERT", touched.writes))
    if touched.verb == "update" and touched.writes:
        needed.append(("UPDATE", touched.writes))
    if touched.updates is not None:
        needed.append(("UPDATE", touched.updates))
    if touched.verb == "delete":
        needed.append(("DELETE", ()))
    if touched.needs_read or (touched.verb == "update" and not touched.writes):
        needed.append(("SELECT", touched.reads))
    return needed


async def _ask(
    held: Held, relation: Relation, touched: Touched, privilege: str, columns: Sequence[str] | None
) -> tuple[Step, Culprit | None]:
    async with held.as_caller():
        [row] = await held.fetch(
            _LACKING, relation.oid, privilege, None if columns is None else list(columns)
        )
    lacking = tuple(row["lacking"])
    evidence = {"has_table_privilege": row["has_table"], "columns_without": lacking}
    role, name = relation.role, relation.name
    if row["has_table"] or (row["has_any"] and not lacking):
        return Step("privilege", "passes", f"{role} has {privilege} on {name}", evidence), None
    target = f"{quoted(relation.key[0])}.{quoted(relation.key[1])}"
    if not row["has_any"]:
        return Step("privilege", "refuses", f"{role} has no {privilege} on {name}", evidence), Culprit(
            "table_privilege",
            f"The role {role} has no {privilege} privilege on {name}.",
            name,
            touched.path,
            hint=f"GRANT {privilege} ON {target} TO {quoted(role)};",
        )
    names = ", ".join(lacking)
    wanted = ", ".join(map(quoted, lacking))
    return Step(
        "privilege", "refuses", f"{role} has no {privilege} on the columns {names} of {name}", evidence
    ), Culprit(
        "column_privilege",
        f"The role {role} has {privilege} on some columns of {name}, but not on: {names}.",
        name,
        touched.path,
        columns=lacking,
        hint=f"Leave the columns out of the request, or GRANT {privilege} ({wanted}) ON {target} TO "
        f"{quoted(role)};",
    )


def row_security(relation: Relation) -> Step:
    """Say whether policies bind the caller at all."""
    evidence = {
        "enabled": relation.has_row_security,
        "forced": relation.is_forced,
        "active_for_role": relation.is_active,
        "owner": relation.owner,
    }
    if relation.is_view or relation.kind == "foreign table":
        return Step("row_security", "skipped", f"{relation.name} is a {relation.kind} and has no policies")
    if relation.is_active:
        title = f"row security of {relation.name} is on and binds {relation.role}"
        return Step("row_security", "info", title, evidence)
    why = "it is not switched on"
    if relation.has_row_security and relation.bypasses:
        why = f"{relation.role} bypasses it"
    elif relation.has_row_security:
        why = f"{relation.role} owns the {relation.kind} and it is not forced"
    return Step("row_security", "passes", f"row security of {relation.name} does not apply: {why}", evidence)
