"""``monohull keys``: show the legacy keys; create, list, change, rotate and revoke opaque ones.

``show`` needs settings and nothing that runs; the other commands need the database.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import msgspec

from monohull.kernel import clock
from monohull.kernel.commands import (
    commands_of,
    emit,
    home_option,
    json_option,
    refusals,
    run,
)
from monohull.kernel.home import jwt_secret
from monohull.kernel.keys import legacy_key
from monohull.kernel.principal import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from uuid import UUID

    from modules.api_keys.dtos import CreatedKey, KeyView
    from modules.api_keys.services import Keys
    from monohull.kernel.runtime import Runtime
    from monohull.kernel.settings import Settings

R = TypeVar("R")


@click.group(name="keys", context_settings={"help_option_names": ["-h", "--help"]})
def keys() -> None:
    """Show, create, list, change, rotate and revoke API keys."""


@keys.command()
@home_option
@json_option
@click.pass_context
def show(context: click.Context, home: Path | None, as_json: bool) -> None:
    """Print the anon and service keys that follow from the JWT secret."""
    settings = commands_of(context).load(home).settings
    with refusals():
        shown = legacy_keys(settings)
    if as_json:
        emit(shown)
        return
    click.echo(f"anon key:     {shown['anon_key']}")
    click.echo(f"service key:  {shown['service_key']}")
    click.echo(f"JWT secret:   from {shown['jwt_secret_source']}")


def limit_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that `create` and `change` share."""
    options = (
        click.option("--permission", "permissions", multiple=True, help="What it may do; repeat."),
        click.option("--days", type=click.IntRange(1, 36_500), help="Days until it expires."),
        click.option("--address", "addresses", multiple=True, help="Network it may be used from; repeat."),
        click.option("--rate", type=click.IntRange(1), help="Requests a minute."),
        click.option("--quota", help="Requests in a period: 10000/day, 1000000/month."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@keys.command()
@click.argument("name")
@click.option(
    "--publishable", "kind", flag_value="publishable", help="For browsers: acts as the anonymous role."
)
@click.option("--secret", "kind", flag_value="secret", default="secret", help="For servers (the default).")
@click.option("--user", "user_id", type=click.UUID, help="User that data requests run as.")
@limit_options
@home_option
@json_option
@click.pass_context
def create(  # noqa: PLR0913 click passes one an option
    context: click.Context,
    /,
    *,
    name: str,
    kind: str,
    user_id: UUID | None,
    home: Path | None,
    as_json: bool,
    **limits: Any,
) -> None:
    """Create a key called NAME and print it, this once.

    Without --permission a secret key may do everything, or everything to data if it acts as a user.
    """
    from modules.api_keys.dtos import CreateKey  # noqa: PLC0415 start-up time

    body = _body({"name": name, "kind": kind, "user_id": user_id, **_limits(limits)}, CreateKey)

    async def work(runtime: Runtime) -> CreatedKey:
        return await _keys(runtime).create(body, SYSTEM)

    _show_created(run(context, home, work), as_json=as_json)


@keys.command()
@click.argument("key_id", type=click.UUID)
@click.option("--name", help="Another name.")
@limit_options
@click.option(
    "--without",
    multiple=True,
    type=click.Choice(["expiry", "addresses", "rate", "quota"]),
    help="Limit to take away; repeat.",
)
@home_option
@json_option
@click.pass_context
def change(  # noqa: PLR0913 click passes one an option
    context: click.Context,
    /,
    *,
    key_id: UUID,
    name: str | None,
    without: tuple[str, ...],
    home: Path | None,
    as_json: bool,
    **limits: Any,
) -> None:
    """Change name, permissions or limits of the key with the id KEY_ID; what is not named stays."""
    from modules.api_keys.dtos import KeyPatch  # noqa: PLC0415 start-up time

    wanted = _limits(limits) | {_REMOVED[which][0]: _REMOVED[which][1] for which in without}
    body = _body(wanted | ({} if name is None else {"name": name}), KeyPatch)

    async def work(runtime: Runtime) -> tuple[KeyView, Sequence[str]]:
        return await _keys(runtime).change(key_id, body, SYSTEM)

    changed, warnings = run(context, home, work)
    for warning in warnings:
        click.echo(warning, err=True)
    if as_json:
        emit(changed)
    else:
        click.echo(_line(changed))


@keys.command(name="rotate-key")
@click.argument("key_id", type=click.UUID)
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, 90 * 24),
    default=24,
    show_default=True,
    help="How long the text that it has now still holds.",
)
@home_option
@json_option
@click.pass_context
def rotate_key(
    context: click.Context, *, key_id: UUID, overlap_hours: int, home: Path | None, as_json: bool
) -> None:
    """Give the key with the id KEY_ID a new text and print it, this once."""

    async def work(runtime: Runtime) -> CreatedKey:
        return await _keys(runtime).rotate(key_id, overlap_hours * 3600, SYSTEM)

    _show_created(run(context, home, work), as_json=as_json)


@keys.command(name="list")
@click.option("--revoked", is_flag=True, help="Include those that have ended.")
@home_option
@json_option
@click.pass_context
def list_(context: click.Context, revoked: bool, home: Path | None, as_json: bool) -> None:
    """List the keys, newest first."""

    async def work(runtime: Runtime) -> Sequence[KeyView]:
        return await _keys(runtime).list_all(with_revoked=revoked)

    found = run(context, home, work)
    if as_json:
        emit(found)
        return
    for key in found:
        click.echo(_line(key))


@keys.command()
@click.argument("key_id", type=click.UUID)
@home_option
@json_option
@click.pass_context
def revoke(context: click.Context, key_id: UUID, home: Path | None, as_json: bool) -> None:
    """Revoke the key with the id KEY_ID."""

    async def work(runtime: Runtime) -> KeyView:
        return await _keys(runtime).revoke(key_id)

    ended = run(context, home, work)
    if as_json:
        emit(ended)
        return
    click.echo(f"{ended.name} ({ended.prefix}…) is revoked; every process refuses it within seconds")


_REMOVED: Final[Mapping[str, tuple[str, Any]]] = {
    "expiry": ("expires_at", None),
    "addresses": ("allowed_addresses", ()),
    "rate": ("rate_per_minute", None),
    "quota": ("quota", None),
}
"""What ``--without`` sets."""


def _limits(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a body that the options of `limit_options` stand for; none for those not given."""
    found: dict[str, Any] = {}
    if options["permissions"]:
        found["permissions"] = options["permissions"]
    if options["days"] is not None:
        found["expires_at"] = clock.now() + timedelta(days=options["days"])
    if options["addresses"]:
        found["allowed_addresses"] = options["addresses"]
    if options["rate"] is not None:
        found["rate_per_minute"] = options["rate"]
    if options["quota"] is not None:
        limit, _, period = options["quota"].partition("/")
        if not limit.isascii() or not limit.isdigit() or period not in ("day", "month"):
            raise click.UsageError("--quota is written as 10000/day or 1000000/month")
        found["quota"] = {"limit": int(limit), "period": period}
    return found


def _body(wanted: Mapping[str, Any], shape: type[R]) -> R:
    try:
        return msgspec.convert(wanted, shape)
    except msgspec.ValidationError as error:
        raise click.UsageError(str(error)) from error


def _keys(runtime: Runtime) -> Keys:
    from modules.api_keys.news import News  # noqa: PLC0415 start-up time
    from modules.api_keys.services import Keys  # noqa: PLC0415 start-up time

    return Keys(runtime.database, runtime.permissions, News(runtime.broker))


def _show_created(created: CreatedKey, *, as_json: bool) -> None:
    if as_json:
        emit(created)
        return
    click.echo(created.key)
    for warning in created.warnings:
        click.echo(warning, err=True)
    click.echo(f"id {created.id}, shown this once; end it with: monohull keys revoke {created.id}", err=True)


def _line(key: KeyView) -> str:
    """Return a key as lists print it."""
    notes = [", ".join(key.permissions) or "no permissions"]
    notes += [f"as user {key.user_id}"] if key.user_id else []
    notes += [f"from {', '.join(key.allowed_addresses)}"] if key.allowed_addresses else []
    notes += [f"{key.rate_per_minute} a minute"] if key.rate_per_minute else []
    notes += [f"{key.quota.limit} a {key.quota.period}"] if key.quota else []
    notes.append(f"used {key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never used")
    notes += [f"expires {key.expires_at:%Y-%m-%d %H:%M}"] if key.expires_at else []
    notes += (
        [f"{key.previous_prefix}… until {key.previous_ends_at:%Y-%m-%d %H:%M}"]
        if key.previous_ends_at
        else []
    )
    notes += ["revoked"] if key.revoked_at else []
    return f"{key.id}  {key.prefix}…  {key.name}  ({'; '.join(notes)})"


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
