"""How alembic runs here: on the connection it is given, one transaction a revision.

`monohull.kernel.database.migrations` opens the connection, takes the lock and
calls alembic; there is no ``alembic.ini``, because an address in a file would
be a second truth.
"""

from __future__ import annotations

from alembic import context
from alembic.util import CommandError

from monohull.kernel.database.platform_version import SCHEMA, VERSION_TABLE

connection = context.config.attributes.get("connection")
if connection is None:
    raise CommandError("run `monohull migrate`; alembic alone has no connection and no lock here")

context.configure(
    connection=connection,
    version_table=VERSION_TABLE,
    version_table_schema=SCHEMA,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
