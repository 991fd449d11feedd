"""Roles, schemas and the functions that tell SQL who asks.

Policies written for Supabase call ``auth.uid()``, ``auth.role()``,
``auth.email()`` and ``auth.jwt()``; these read the request's claims from the
settings that every data request carries.

The bodies are of the standard's kind (``RETURN``): names in them are resolved
now and not by the caller's ``search_path``, and the planner can still inline
them, which a function with a ``SET search_path`` clause would forbid; a policy
calls them for every row.

No statement here needs a superuser.
"""

from __future__ import annotations

from typing import Final

from alembic import context, op

from monohull.kernel.database.server import API_ROLES, SCHEMAS, ensure_roles, quote_name

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

GRANTEES: Final = ", ".join(API_ROLES)
CLAIMS: Final = "current_setting('request.jwt.claims', true)"
REFUSED: Final = "REVOKE ALL ON SCHEMA monohull FROM PUBLIC"


def claim(name: str) -> str:
    """Return SQL for one claim: of the claims when there are any, else of the legacy setting for it alone.

    Claims that lack it are the truth: a setting left over in a session must not
    lend an identity to a request that has none.
    """
    return f"""nullif(
        CASE WHEN {CLAIMS} <> '' THEN {CLAIMS}::jsonb ->> '{name}'
             ELSE current_setting('request.jwt.claim.{name}', true) END, '')"""


FUNCTIONS: Final = {
    "uid": ("uuid", f"{claim('sub')}::uuid", "User of this request: claim sub"),
    "role": ("text", claim("role"), "Database role of this request: claim role"),
    "email": ("text", claim("email"), "E-mail address of this request''s user: claim email"),
    "jwt": (
        "jsonb",
        f"coalesce(nullif({CLAIMS}, ''), nullif(current_setting('request.jwt.claim', true), ''))::jsonb",
        "All claims of this request''s token",
    ),
}

LEDGER: Final = """
CREATE TABLE monohull.project_migrations (
    project text NOT NULL,
    kind text NOT NULL,
    version bigint,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    duration_ms integer NOT NULL,
    applied_by text NOT NULL DEFAULT current_user,
    CONSTRAINT pk_project_migrations PRIMARY KEY (project, kind, name),
    CONSTRAINT uq_project_migrations_project_version UNIQUE (project, version),
    CONSTRAINT ck_project_migrations_kind CHECK (kind IN ('migration', 'seed')),
    CONSTRAINT ck_project_migrations_version CHECK ((kind = 'migration') = (version IS NOT NULL))
)
"""


def upgrade() -> None:
    ensure_roles(op.get_bind(), context.config.attributes["authenticator_password"])
    for schema in SCHEMAS:
        if not scalar(f"SELECT to_regnamespace('{schema}') IS NOT NULL"):
            run(f"CREATE SCHEMA {schema}")
    run(REFUSED)
    keep_own_search_path()
    for name, (returns, body, comment) in FUNCTIONS.items():
        create_function(name, returns, body, comment)
    for schema in ("auth", "storage", "extensions"):
        run(f"GRANT USAGE ON SCHEMA {schema} TO {GRANTEES}")
    if has_public():
        # where public is somebody else's this is a warning, and PUBLIC has the right anyway
        run(f"GRANT USAGE ON SCHEMA public TO {GRANTEES}")
        for kind in ("TABLES", "SEQUENCES", "ROUTINES"):
            run(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON {kind} TO {GRANTEES}")
    run(LEDGER)


def downgrade() -> None:
    run("DROP TABLE monohull.project_migrations")
    for kind in ("TABLES", "SEQUENCES", "ROUTINES") if has_public() else ():
        run(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON {kind} FROM {GRANTEES}")
    for name in FUNCTIONS:
        if is_own(name):
            run(f"DROP FUNCTION auth.{name}()")
    for schema in ("auth", "storage", "extensions"):
        drop_schema_if_empty(schema)
    if is_owner_named_as_schema():
        run(f"ALTER ROLE CURRENT_USER IN DATABASE {database()} RESET search_path")


def has_public() -> bool:
    return scalar("SELECT to_regnamespace('public') IS NOT NULL")


def create_function(name: str, returns: str, body: str, comment: str) -> None:
    """Make ``auth.<name>``, unless another role has one there already: then that one counts."""
    if scalar(f"SELECT to_regprocedure('auth.{name}()') IS NOT NULL") and not is_own(name):
        return
    run(
        f"CREATE OR REPLACE FUNCTION auth.{name}() RETURNS {returns} "
        f"LANGUAGE sql STABLE PARALLEL SAFE RETURN {body}"
    )
    run(f"COMMENT ON FUNCTION auth.{name}() IS '{comment}.'")
    run(f"GRANT EXECUTE ON FUNCTION auth.{name}() TO PUBLIC")


def is_own(name: str) -> bool:
    return scalar(
        f"SELECT coalesce((SELECT proowner = current_user::regrole FROM pg_proc "
        f"WHERE oid = to_regprocedure('auth.{name}()')), false)"
    )


def keep_own_search_path() -> None:
    """Keep an owner called like one of our schemas from making its tables there.

    The default ``search_path`` begins with ``"$user"``, and the embedded
    server's owner is called ``monohull``.
    """
    if is_owner_named_as_schema():
        run(f"ALTER ROLE CURRENT_USER IN DATABASE {database()} SET search_path = public, extensions")


def is_owner_named_as_schema() -> bool:
    schemas = ", ".join(f"'{schema}'" for schema in SCHEMAS)
    return scalar(f"SELECT current_user IN ({schemas})")


def drop_schema_if_empty(schema: str) -> None:
    """Drop ``schema``, or leave it when it holds something or is not ours."""
    run(
        f"DO $$ BEGIN DROP SCHEMA {schema}; "
        f"EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege OR invalid_schema_name "
        f"THEN NULL; END $$"
    )


def database() -> str:
    return quote_name(op.get_bind().exec_driver_sql("SELECT current_database()::text").scalar_one())


def scalar(sql: str) -> bool:
    return bool(op.get_bind().exec_driver_sql(sql).scalar_one())


def run(sql: str) -> None:
    op.get_bind().exec_driver_sql(sql)
