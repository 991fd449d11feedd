"""``monohull keys signing``, ``rotate``, ``retire`` and ``legacy``: the keys that sign access tokens."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click
from msgspec import Struct

from monohull.kernel.commands import emit, home_option, json_option, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from modules.auth.keys.rotation import KeyView
    from monohull.kernel.runtime import Runtime

SHOWN: Final = 20
"""Presenters of one key that are printed; ``--json`` has them all."""


class Presenter(Struct, frozen=True):
    """Somebody, and when it last presented a token of the key."""

    name: str
    at: datetime


class Reported(Struct, frozen=True):
    """A key and who still presents its tokens; nobody is noted for one that signs."""

    key: KeyView
    presenters: tuple[Presenter, ...] = ()


class Report(Struct, frozen=True):
    """All keys, and who presents tokens of the shared secret although that signs no users' tokens."""

    keys: tuple[Reported, ...]
    shared_secret: tuple[Presenter, ...]


@click.group(name="signing")
def signing_keys() -> None:
    """Keys that sign access tokens."""


@signing_keys.command()
@home_option
@json_option
@click.pass_context
def signing(context: click.Context, home: Path | None, as_json: bool) -> None:
    """List the signing keys, and who still presents tokens of old ones."""
    found = run(context, home, report)
    if as_json:
        emit(found)
    else:
        show(found)


@signing_keys.command()
@click.option("--now", is_flag=True, help="Also when the next key was published less than ten minutes ago.")
@home_option
@json_option
@click.pass_context
def rotate(context: click.Context, now: bool, home: Path | None, as_json: bool) -> None:
    """Sign with the next key from now on. Nobody is signed out: the key before it still verifies."""
    from modules.auth.keys import build_rotation  # noqa: PLC0415 start-up time

    async def work(runtime: Runtime) -> Report:
        await build_rotation(runtime).rotate(now=now)
        return await report(runtime)

    found = run(context, home, work)
    if as_json:
        emit(found)
        return
    show(found)
    click.echo("Every process signs with the current key within seconds.", err=True)


@signing_keys.command()
@click.argument("kid", required=False)
@click.option("--force", is_flag=True, help="Although tokens of the key may be alive.")
@home_option
@json_option
@click.pass_context
def retire(context: click.Context, kid: str | None, force: bool, home: Path | None, as_json: bool) -> None:
    """Refuse tokens of the key KID, or of every previous key whose tokens are over."""
    from modules.auth.keys import build_rotation  # noqa: PLC0415 start-up time

    async def work(runtime: Runtime) -> Sequence[KeyView]:
        return await build_rotation(runtime).retire(kid, force=force)

    retired = run(context, home, work)
    if as_json:
        emit(retired)
        return
    click.echo("\n".join(f"{key.kid} is retired" for key in retired) or "no previous key is done yet")


@signing_keys.command()
@home_option
@json_option
@click.pass_context
def legacy(context: click.Context, home: Path | None, as_json: bool) -> None:
    """List who used the legacy anon and service_role keys in the last days, the latest first."""
    from modules.auth.keys import Presenters  # noqa: PLC0415 start-up time
    from modules.auth.keys.legacy import LEGACY  # noqa: PLC0415 start-up time

    async def work(runtime: Runtime) -> tuple[Presenter, ...]:
        noted = await Presenters(runtime.redis).of(LEGACY)
        return tuple(Presenter(name, datetime.fromtimestamp(at, UTC)) for name, at in noted)

    found = run(context, home, work)
    if as_json:
        emit(found)
        return
    if not found:
        click.echo("nobody; MONOHULL_JWT_LEGACY_KEYS=false switches them off")
    for user in found:
        click.echo(f"{user.at:%Y-%m-%d %H:%M:%S} UTC  {user.name}")


async def report(runtime: Runtime) -> Report:
    """Return every key with who presents its tokens.

    Raises:
        DatabaseUnavailable, RedisUnavailable: 503.
    """
    from modules.auth.keys import Presenters, build_rotation  # noqa: PLC0415 start-up time
    from modules.auth.keys.presenters import SECRET  # noqa: PLC0415 start-up time

    presenters = Presenters(runtime.redis)

    async def of(kid: str) -> tuple[Presenter, ...]:
        return tuple(
            Presenter(name, datetime.fromtimestamp(at, UTC)) for name, at in await presenters.of(kid)
        )

    keys = await build_rotation(runtime).list_all()
    reported = [Reported(key, await of(key.kid) if key.state == "previous" else ()) for key in keys]
    return Report(tuple(reported), await of(SECRET))


def show(found: Report) -> None:
    """Print a report."""
    for reported in found.keys:
        key = reported.key
        until = f", may be retired from {key.retirable_at:%Y-%m-%d %H:%M} UTC" if key.retirable_at else ""
        click.echo(
            f"{key.state:<9} {key.algorithm}  {key.kid}  (made {key.created_at:%Y-%m-%d %H:%M}{until})"
        )
        _show_presenters(reported.presenters)
    if found.shared_secret:
        click.echo("shared secret (HS256)")
        _show_presenters(found.shared_secret)


def _show_presenters(presenters: Sequence[Presenter]) -> None:
    for presenter in presenters[:SHOWN]:
        click.echo(f"          presented by {presenter.name}, last at {presenter.at:%Y-%m-%d %H:%M:%S} UTC")
    if len(presenters) > SHOWN:
        click.echo(f"          and by {len(presenters) - SHOWN} more")
