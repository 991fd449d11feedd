"""``monohull webhooks``: prove that nothing is missing, see the endpoints and what became of deliveries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

from monohull.kernel.commands import emit, home_option, json_option, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from modules.webhooks.dtos import EndpointView
    from modules.webhooks.verification import Account
    from monohull.kernel.runtime import Runtime

ALL: Final = 100_000
INSTANT: Final = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])


@click.group(name="webhooks", context_settings={"help_option_names": ["-h", "--help"]})
def webhooks() -> None:
    """Webhooks: account for every event, list endpoints."""


@webhooks.command()
@click.option("--since", type=INSTANT, help="In UTC. Default: as far back as deliveries are kept.")
@click.option("--endpoint", type=click.UUID, help="One endpoint alone, by id.")
@home_option
@json_option
@click.pass_context
def verify(
    context: click.Context, since: datetime | None, endpoint: UUID | None, home: Path | None, as_json: bool
) -> None:
    """Look for events without their delivery; leave with 1 and name the first when there is one."""

    async def work(runtime: Runtime) -> Account:
        from modules.webhooks.settings import WebhooksSettings  # noqa: PLC0415 start-up time
        from modules.webhooks.verification import verify as account_for  # noqa: PLC0415 start-up time

        kept = timedelta(days=runtime.settings.of(WebhooksSettings).retention_days)
        start = None if since is None else since.replace(tzinfo=UTC)
        async with (
            runtime.database.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            return await account_for(connection, since=start, endpoint_id=endpoint, retention=kept)

    account = run(context, home, work)
    if as_json:
        emit(account)
    else:
        states = ", ".join(f"{number} {state}" for state, number in account.states.items()) or "none"
        click.echo(f"{account.events} events, {account.matched} deliveries: {states}")
        if account.waiting_events:
            click.echo(f"{account.waiting_events} events are not handed on yet")
        if (lost := account.first_missing) is not None:
            click.echo(
                f"{account.missing} are missing; the first is {lost.event} {lost.event_id} "
                f"for the endpoint {lost.endpoint_id}",
                err=True,
            )
    context.exit(0 if account.ok else 1)


@webhooks.command(name="list")
@home_option
@json_option
@click.pass_context
def list_(context: click.Context, home: Path | None, as_json: bool) -> None:
    """List all endpoints and how they stand."""

    async def work(runtime: Runtime) -> Sequence[EndpointView]:
        from modules.webhooks.assembly import build_endpoints  # noqa: PLC0415 start-up time

        return await build_endpoints(runtime).page(ALL, None)

    found = run(context, home, work)
    if as_json:
        emit(found)
        return
    for one in found:
        state = f"disabled ({one.disabled_reason})" if not one.is_enabled else f"circuit {one.circuit}"
        told = ", ".join([*one.events, *(f"{row.schema}.{row.table}" for row in one.rows)])
        click.echo(f"{one.id}  {one.name:<24}  {state:<20}  {told}  {one.url}")
