"""``monohull streams``: see, make, try, pause, resume, rewind and delete sinks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Final

import click
import msgspec

from monohull.kernel.commands import emit, home_option, json_option, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from modules.streams.dtos import SinkTested, SinkView
    from modules.streams.services import Sinks
    from monohull.kernel.runtime import Runtime

ALL: Final = 10_000
INSTANT: Final = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])


@click.group(name="streams", context_settings={"help_option_names": ["-h", "--help"]})
def streams() -> None:
    """Sinks that carry events to message brokers: list, make, try, pause, rewind."""


@streams.command(name="list")
@home_option
@json_option
@click.pass_context
def list_(context: click.Context, home: Path | None, as_json: bool) -> None:
    """List all sinks, how far they are behind and what went wrong last."""

    async def work(runtime: Runtime) -> Sequence[SinkView]:
        return await _service(runtime).page(ALL, None)

    found = run(context, home, work)
    if as_json:
        emit(found)
        return
    for one in found:
        click.echo(_line(one))


@streams.command()
@click.argument("file", type=click.File("rb"))
@home_option
@json_option
@click.pass_context
def create(context: click.Context, file: IO[bytes], home: Path | None, as_json: bool) -> None:
    """Make the sink that FILE describes, JSON as POST /platform/v1/streams/sinks takes it; - reads stdin."""
    from modules.streams.dtos import CreateSink  # noqa: PLC0415 start-up time
    from monohull.kernel.principal import SYSTEM  # noqa: PLC0415 start-up time

    try:
        wanted = msgspec.json.decode(file.read(), type=CreateSink)
    except msgspec.DecodeError as error:
        raise click.BadParameter(str(error), param_hint="FILE") from error

    async def work(runtime: Runtime) -> SinkView:
        return await _service(runtime).create(wanted, SYSTEM)

    _show(run(context, home, work), as_json=as_json)


@streams.command()
@click.argument("sink_id", type=click.UUID)
@home_option
@json_option
@click.pass_context
def test(context: click.Context, sink_id: UUID, home: Path | None, as_json: bool) -> None:
    """Send the sink SINK_ID one event from this machine; leave with 1 when its broker does not take it."""

    async def work(runtime: Runtime) -> SinkTested:
        from modules.streams.assembly import build_testing  # noqa: PLC0415 start-up time

        return await build_testing(runtime).test(sink_id)

    tested = run(context, home, work)
    if as_json:
        emit(tested)
    else:
        click.echo(f"{tested.event_id}  {tested.reason or 'taken'}  {tested.duration_seconds:.3f} s")
    context.exit(0 if tested.is_taken else 1)


@streams.command()
@click.argument("sink_id", type=click.UUID)
@home_option
@click.pass_context
def pause(context: click.Context, sink_id: UUID, home: Path | None) -> None:
    """Send the sink SINK_ID nothing until it is resumed; it keeps its place."""
    _show(_paused(context, sink_id, home, is_paused=True), as_json=False)


@streams.command()
@click.argument("sink_id", type=click.UUID)
@home_option
@click.pass_context
def resume(context: click.Context, sink_id: UUID, home: Path | None) -> None:
    """Let the sink SINK_ID go on from its place."""
    _show(_paused(context, sink_id, home, is_paused=False), as_json=False)


@streams.command()
@click.argument("sink_id", type=click.UUID)
@click.option("--sequence", type=click.IntRange(min=0), help="Go on after this number of the feed.")
@click.option("--time", type=INSTANT, help="Go on with what was relayed then or later, in UTC.")
@home_option
@click.pass_context
def rewind(
    context: click.Context, sink_id: UUID, sequence: int | None, time: datetime | None, home: Path | None
) -> None:
    """Have the sink SINK_ID go on elsewhere in the feed, back or forth."""
    from modules.streams.dtos import Rewind  # noqa: PLC0415 start-up time

    at = None if time is None else time.replace(tzinfo=UTC)
    try:
        wanted = Rewind(sequence=sequence, time=at)
    except ValueError as error:
        raise click.UsageError("give either --sequence or --time") from error

    async def work(runtime: Runtime) -> SinkView:
        return await _service(runtime).rewind(sink_id, wanted)

    _show(run(context, home, work), as_json=False)


@streams.command()
@click.argument("sink_id", type=click.UUID)
@home_option
@click.pass_context
def delete(context: click.Context, sink_id: UUID, home: Path | None) -> None:
    """Delete the sink SINK_ID with its place in the feed."""

    async def work(runtime: Runtime) -> None:
        await _service(runtime).delete(sink_id)

    run(context, home, work)


def _paused(context: click.Context, sink_id: UUID, home: Path | None, *, is_paused: bool) -> SinkView:
    async def work(runtime: Runtime) -> SinkView:
        from modules.streams.dtos import SinkPatch  # noqa: PLC0415 start-up time
        from monohull.kernel.principal import SYSTEM  # noqa: PLC0415 start-up time

        return await _service(runtime).change(sink_id, SinkPatch(is_paused=is_paused), SYSTEM)

    return run(context, home, work)


def _service(runtime: Runtime) -> Sinks:
    from modules.streams.assembly import build_sinks  # noqa: PLC0415 start-up time

    return build_sinks(runtime)


def _show(one: SinkView, *, as_json: bool) -> None:
    if as_json:
        emit(one)
    else:
        click.echo(_line(one))


def _line(one: SinkView) -> str:
    error = f"  {one.last_error}" if one.state == "failing" else ""
    behind = f"{one.lag_events} behind ({one.lag_seconds:.0f} s)"
    return f"{one.id}  {one.name}  {one.state}  at {one.sequence}, {behind}  {one.address}{error}"
