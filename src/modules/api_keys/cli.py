"""``monohull keys``: show the legacy keys; create, list and revoke opaque ones.

``show`` needs settings and nothing that runs; the other commands need the database.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import click
import msgspec

from monohull.kernel import clock
from monohull.kernel.errors import Problem, Unavailable
from monohull.kernel.home import jwt_secret
from monohull.kernel.keys import legacy_key
from monohull.kernel.principal import SYSTEM
from monohull.kernel.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from uuid import UUID

    from modules.api_keys.dtos import CreatedKey, KeyView
    from monohull.kernel.configuration import Configuration
    from monohull.kernel.runtime import Runtime
    from monohull.kernel.settings import Settings

R = TypeVar("R")

home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the embedded services and secrets.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class CommandContext(Protocol):
    """What the ``monohull`` command hands to a module's commands."""

    def load(self, home: Path | None = None, project: Path | None = None) -> Configuration:
        """Read settings and modules."""
        ...

    def run(self, loaded: Configuration, work: Callable[[Runtime], Awaitable[R]]) -> R:
        """Run ``work`` with an open runtime."""
        ...


@click.group(name="keys", context_settings={"help_option_names": ["-h", "--help"]})
def keys() -> None:
    """Show, create, list and revoke API keys."""


@keys.command()
@home_option
@json_option
@click.pass_context
def show(context: click.Context, home: Path | None, as_json: bool) -> None:
    """Print the anon and service keys that follow from the JWT secret."""
    settings = _obj(context).load(home).settings
    with _refusals():
        shown = legacy_keys(settings)
    if as_json:
        _emit(shown)
        return
    click.echo(f"anon key:     {shown['anon_key']}")
    click.echo(f"service key:  {shown['service_key']}")
    click.echo(f"JWT secret:   from {shown['jwt_secret_source']}")


@keys.command()
@click.argument("name")
@click.option(
    "--publishable", "kind", flag_value="publishable", help="For browsers: acts as the anonymous role."
)
@click.option("--secret", "kind", flag_value="secret", default="secret", help="For servers (the default).")
@click.option(
    "--permission", "permissions", multiple=True, help="What it may do; repeat. Default: everything."
)
@click.option("--days", type=click.IntRange(1, 36_500), help="Days until it expires. Default: never.")
@home_option
@json_option
@click.pass_context
def create(  # noqa: PLR0913, PLR0917 click passes one an option
    context: click.Context,
    name: str,
    kind: str,
    permissions: tuple[str, ...],
    days: int | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Create a key called NAME and print it, this once."""
    from modules.api_keys.dtos import CreateKey  # noqa: PLC0415 start-up time
    from modules.api_keys.services import Keys  # noqa: PLC0415 start-up time

    expires_at = clock.now() + timedelta(days=days) if days is not None else None
    wanted = {"name": name, "kind": kind, "permissions": permissions or None, "expires_at": expires_at}
    try:
        body = msgspec.convert(wanted, CreateKey)
    except msgspec.ValidationError as error:
        raise click.UsageError(str(error)) from error

    async def work(runtime: Runtime) -> CreatedKey:
        return await Keys(runtime.database, runtime.permissions).create(body, SYSTEM)

    created = _run(context, home, work)
    if as_json:
        _emit(created)
        return
    click.echo(created.key)
    click.echo(f"id {created.id}, shown this once; end it with: monohull keys revoke {created.id}", err=True)


@keys.command(name="list")
@click.option("--revoked", is_flag=True, help="Include those that have ended.")
@home_option
@json_option
@click.pass_context
def list_(context: click.Context, revoked: bool, home: Path | None, as_json: bool) -> None:
    """List the keys, newest first."""
    from modules.api_keys.services import Keys  # noqa: PLC0415 start-up time

    async def work(runtime: Runtime) -> Sequence[KeyView]:
        return await Keys(runtime.database, runtime.permissions).list_all(with_revoked=revoked)

    found = _run(context, home, work)
    if as_json:
        _emit(found)
        return
    for key in found:
        used = f"used {key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never used"
        ended = ", revoked" if key.revoked_at else ""
        may = ", ".join(key.permissions) or "no permissions"
        click.echo(f"{key.id}  {key.prefix}…  {key.name}  ({may}; {used}{ended})")


@keys.command()
@click.argument("key_id", type=click.UUID)
@home_option
@json_option
@click.pass_context
def revoke(context: click.Context, key_id: UUID, home: Path | None, as_json: bool) -> None:
    """Revoke the key with the id KEY_ID."""
    from modules.api_keys.services import Keys  # noqa: PLC0415 start-up time

    async def work(runtime: Runtime) -> KeyView:
        return await Keys(runtime.database, runtime.permissions).revoke(key_id)

    ended = _run(context, home, work)
    if as_json:
        _emit(ended)
        return
    click.echo(f"{ended.name} ({ended.prefix}…) is revoked; every process refuses it within seconds")


def legacy_keys(settings: Settings) -> dict[str, str]:
    """Return the keys that clients share, and where their secret comes from.

    Raises:
        Refused: There is no secret yet.
    """
    secret = jwt_secret(settings)
    return {
        "anon_key": str(settings.core.anon_key or legacy_key(secret, "anon")),
        "service_key": str(settings.core.service_key or legacy_key(secret, "service_role")),
        "jwt_secret_source": settings.sources.get("MONOHULL_JWT_SECRET", f"the home {settings.home}"),
    }


def _obj(context: click.Context) -> CommandContext:
    return cast("CommandContext", context.obj)


def _run(context: click.Context, home: Path | None, work: Callable[[Runtime], Awaitable[R]]) -> R:
    commands = _obj(context)
    loaded = commands.load(home)
    with _refusals():
        return commands.run(loaded, work)


@contextmanager
def _refusals() -> Iterator[None]:
    """End the command with one line and the exit code of the contract."""
    try:
        yield
    except Refused as error:
        raise CommandRefused(str(error), error.exit_code) from error
    except Problem as problem:
        text = f"{problem.message} {problem.hint or ''}".strip()
        raise CommandRefused(text, 3 if isinstance(problem, Unavailable) else 1) from problem


class CommandRefused(click.ClickException):
    """Ends the command with an exit code of its own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it for the class


def _emit(value: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())
