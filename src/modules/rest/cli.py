"""``monohull gen``: what client programs are written with, from the database as it is now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from modules.rest.head import PREFIX
from monohull.kernel.commands import home_option, project_option, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from monohull.kernel.runtime import Runtime

output_option = click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write to this file, which is replaced; else to stdout.",
)
role_option = click.option(
    "--role", help="Describe what this database role may see, such as anon. Unset: everything there is."
)


@click.group(name="gen", context_settings={"help_option_names": ["-h", "--help"]})
def gen() -> None:
    """Write types, the OpenAPI document or a Postman collection of the data API."""


@gen.command()
@click.option(
    "--lang", "language", type=click.Choice(["typescript", "python"]), required=True, help="The language."
)
@click.option(
    "--schema",
    "schemas",
    multiple=True,
    help="A schema to describe, the default one first; may be repeated. Unset: those that are exposed.",
)
@role_option
@output_option
@home_option
@project_option
@click.pass_context
def types(  # noqa: PLR0913, PLR0917 each option is an argument
    context: click.Context,
    language: str,
    schemas: tuple[str, ...],
    role: str | None,
    output: Path | None,
    home: Path | None,
    project: Path | None,
) -> None:
    """Write the types of rows, inserts, updates, functions and enumerations."""

    async def work(runtime: Runtime) -> str:
        from modules.query import at_once  # noqa: PLC0415 start-up time
        from modules.rest.description.python import write_python  # noqa: PLC0415 start-up time
        from modules.rest.description.typescript import write_typescript  # noqa: PLC0415 start-up time
        from modules.rest.generating import read_schemas  # noqa: PLC0415 start-up time

        known = await read_schemas(runtime, schemas, role)
        if language == "python":
            return at_once(write_python(known.schemas))
        default = known.schemas[0].schema
        return at_once(write_typescript(known.schemas, known.catalog, default=default))

    _write(run(context, home, work, project=project), output)


@gen.command()
@click.option("--schema", help="The schema to describe. Unset: the first that is exposed.")
@role_option
@output_option
@home_option
@project_option
@click.pass_context
def openapi(  # noqa: PLR0913, PLR0917 each option is an argument
    context: click.Context,
    schema: str | None,
    role: str | None,
    output: Path | None,
    home: Path | None,
    project: Path | None,
) -> None:
    """Write the OpenAPI 3.1 document, as GET /rest/v1/openapi.json gives it."""
    _write(run(context, home, _document("openapi", schema, role), project=project), output)


@gen.command()
@click.option("--schema", help="The schema to describe. Unset: the first that is exposed.")
@role_option
@output_option
@home_option
@project_option
@click.pass_context
def postman(  # noqa: PLR0913, PLR0917 each option is an argument
    context: click.Context,
    schema: str | None,
    role: str | None,
    output: Path | None,
    home: Path | None,
    project: Path | None,
) -> None:
    """Write a Postman collection, as GET /rest/v1/postman.json gives it."""
    _write(run(context, home, _document("postman", schema, role), project=project), output)


def _document(
    kind: Literal["openapi", "postman"], schema: str | None, role: str | None
) -> Callable[[Runtime], Awaitable[str]]:
    async def work(runtime: Runtime) -> str:
        import msgspec  # noqa: PLC0415 start-up time

        from modules.query import at_once  # noqa: PLC0415 start-up time
        from modules.rest.description.openapi import write_openapi  # noqa: PLC0415 start-up time
        from modules.rest.description.parts import Place  # noqa: PLC0415 start-up time
        from modules.rest.description.postman import write_postman  # noqa: PLC0415 start-up time
        from modules.rest.generating import read_schemas  # noqa: PLC0415 start-up time

        known = await read_schemas(runtime, () if schema is None else (schema,), role)
        core = runtime.settings.core
        place = Place(
            known.settings.openapi_server_proxy_uri or core.public_url.rstrip("/") + PREFIX,
            known.settings.demands_key(is_production=core.is_production),
            known.settings.schemas,
        )
        write = write_openapi if kind == "openapi" else write_postman
        document = at_once(write(known.schemas[0], known.catalog, place))
        return msgspec.json.format(document).decode() + "\n"

    return work


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.FileError(str(output), error.strerror or str(error)) from error
