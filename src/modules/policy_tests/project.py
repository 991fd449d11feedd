"""``[policies]`` of ``monohull.toml``: what the project states about its matrix.

[policies]
file = "policies.toml"

[[policies.callers]]
name = "staff"
role = "authenticated"
claims = { app_metadata = { role = "staff" } }

[policies.tables."public.orders"]
owner = "customer_id"                      # or found from the policies
tenant = "team_id"
row = { currency = "EUR" }                 # values that cannot be found
variants.archived = { archived_at = "2026-01-01" }
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from modules.policy_tests.errors import BadDeclaration

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLE: Final = "policies"
DEFAULT_FILE: Final = "policies.toml"
OWN_NAMES: Final = ("anon", "authenticated", "service_role")


class DeclaredCaller(Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody more who asks: a database role with claims beside those of a person.

    Attributes:
        name: In the matrix.
        role: Database role.
        claims: Laid over the person's own, table by table.
        bypasses: The role steps over row security and is meant to.
    """

    name: str
    role: str = "authenticated"
    claims: dict[str, Any] = {}
    bypasses: bool = False


class DeclaredTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What the project states about one table.

    Attributes:
        owner: Column that holds the user's id.
        tenant: Column that holds the tenant.
        claim: Path of the claim that holds the tenant, with dots: ``app_metadata.team``.
        is_tenant: Its rows are the tenants: people of one tenant share one.
        row: Values by column; ``{n}`` in a text is the number of the person, 1 to 3.
        variants: More states of a row: name → values by column.
        leave_out: Why this table has no rows to try. It is written into the matrix.
    """

    owner: str | None = None
    tenant: str | None = None
    claim: str | None = None
    is_tenant: bool = False
    row: dict[str, Any] = {}
    variants: dict[str, dict[str, Any]] = {}
    leave_out: str | None = None


class Declaration(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole table."""

    file: str = DEFAULT_FILE
    callers: tuple[DeclaredCaller, ...] = ()
    tables: dict[str, DeclaredTable] = {}


def read_declaration(document: Mapping[str, Any]) -> Declaration:
    """Read ``[policies]`` of ``document``.

    Raises:
        BadDeclaration: It does not fit, or two callers have one name.
    """
    try:
        found = msgspec.convert(document.get(TABLE, {}), Declaration)
    except msgspec.ValidationError as error:
        raise BadDeclaration(f"[policies] in monohull.toml: {error}") from error
    names = [*OWN_NAMES, *(caller.name for caller in found.callers)]
    for name in names:
        if names.count(name) > 1:
            raise BadDeclaration(f"[policies] in monohull.toml: two callers are called {name!r}")
    return found


def as_text(value: Any) -> str | None:
    """Write a value of TOML as PostgreSQL reads it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    return str(value)
