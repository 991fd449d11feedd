"""``monohull cache``: which tables are cached, and for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from monohull.kernel.commands import emit, home_option, json_option, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from modules.rest.cache.marking import CachedTableView
    from monohull.kernel.runtime import Runtime

DEFAULT_MAX_AGE_SECONDS: Final = 60


@click.group(name="cache", context_settings={"help_option_names": ["-h", "--help"]})
def cache() -> None:
    """Response cache: list, add and remove tables."""


@cache.command(name="list")
@home_option
@json_option
@click.pass_context
def list_(context: click.Context, home: Path | None, as_json: bool) -> None:
    """List the tables that are cached, and why reads of a role are not."""

    async def work(runtime: Runtime) -> Sequence[CachedTableView]:
        from modules.rest.cache.marking import CachedTables  # noqa: PLC0415 start-up time

        return await CachedTables(runtime.database).list()

    found = run(context, home, work)
    if as_json:
        emit(found)
        return
    for one in found:
        _show(one)


@cache.command()
@click.argument("table")
@click.option(
    "--max-age",
    type=click.IntRange(1, 86_400),
    default=DEFAULT_MAX_AGE_SECONDS,
    show_default=True,
    help="Seconds that an answer is kept at most.",
)
@home_option
@json_option
@click.pass_context
def add(context: click.Context, table: str, max_age: int, home: Path | None, as_json: bool) -> None:
    """Have reads of TABLE, such as public.products, answered from the cache."""

    async def work(runtime: Runtime) -> CachedTableView:
        from modules.rest.cache.marking import CachedTables  # noqa: PLC0415 start-up time

        return await CachedTables(runtime.database).mark(table, max_age)

    marked = run(context, home, work)
    if as_json:
        emit(marked)
    else:
        _show(marked)


@cache.command()
@click.argument("table")
@home_option
@click.pass_context
def remove(context: click.Context, table: str, home: Path | None) -> None:
    """Have reads of TABLE answered by the database alone."""

    async def work(runtime: Runtime) -> None:
        from modules.rest.cache.marking import CachedTables  # noqa: PLC0415 start-up time

        await CachedTables(runtime.database).unmark(table)

    run(context, home, work)


def _show(one: CachedTableView) -> None:
    click.echo(f"{one.table}  {one.max_age_seconds} s  {one.reason or ''}".rstrip())
    for role in one.roles if one.reason is None else ():
        apart = f", apart by {', '.join(role.claims)}" if role.claims else ""
        click.echo(
            f"    {role.role}: " + (f"cached{apart}" if role.is_cached else f"not cached: {role.reason}")
        )
