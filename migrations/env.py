"""How alembic runs here: on the connection it is given, one transaction a revision.

`monohull.kernel.database.migrations` opens the connection, takes the lock and
calls alembic; there is no ``alembic.ini``, because an address in a file would
be a second truth.
"""

from __future__ import annotations

from typing import Any

from alembic import context
from alembic.util import CommandError

from monohull.kernel.database.platform_version import (
    SCHEMA,
    VERSION_TABLE,
    demand_of,
    read_demand,
    write_demand,
)

connection = context.config.attributes.get("connection")
if connection is None:
    raise CommandError("run `monohull migrate`; alembic alone has no connection and no lock here")


def remember_demand(ctx: Any, step: Any, heads: Any, run_args: Any) -> None:  # noqa: ARG001 alembic's names
    """Write down, with each revision, which code may serve the database from now on."""
    if not step.is_upgrade:  # which of the revisions that are left expand was not kept
        reached = step.destination_revision_ids
        if reached:
            write_demand(ctx.connection, reached[0], reached[0])
        return
    [script] = step.up_revisions
    before = read_demand(ctx.connection, script.down_revision) if script.down_revision else None
    expands = getattr(script.module, "expands", False)
    demanded = demand_of(script.revision, script.down_revision, before, expands=expands)
    write_demand(ctx.connection, script.revision, demanded)


context.configure(
    connection=connection,
    version_table=VERSION_TABLE,
    version_table_schema=SCHEMA,
    transaction_per_migration=True,
    on_version_apply=remember_demand,
)
with context.begin_transaction():
    context.run_migrations()
