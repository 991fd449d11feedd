"""``monohull jobs``: see jobs, ask for them, cancel them and try them again.

Whoever may run commands beside the database is trusted with every job that is
declared as public, and with what became of all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from monohull.kernel.commands import emit, home_option, json_option, run

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from modules.jobs.dtos import Changed, JobPage, JobView, Selection
    from modules.jobs.services import JobRuns
    from monohull.kernel.runtime import Runtime


@click.group(name="jobs", context_settings={"help_option_names": ["-h", "--help"]})
def jobs() -> None:
    """Jobs: list, show, enqueue, cancel and retry."""


@jobs.command(name="list")
@click.option("--name", help="Jobs of this name.")
@click.option("--queue", help="Jobs of this queue.")
@click.option(
    "--state",
    type=click.Choice(["queued", "scheduled", "running", "succeeded", "dead", "cancelled"]),
    help="Jobs in this state.",
)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many at most."
)
@home_option
@json_option
@click.pass_context
def list_(  # noqa: PLR0913, PLR0917 click passes one an option
    context: click.Context,
    name: str | None,
    queue: str | None,
    state: str | None,
    limit: int,
    home: Path | None,
    as_json: bool,
) -> None:
    """List jobs, the newest first."""
    given = {"name": name, "queue": queue, "state": state}
    chosen = {field: value for field, value in given.items() if value is not None}
    wanted = _selection(chosen) if chosen else None

    async def work(runtime: Runtime) -> JobPage:
        from modules.jobs.dtos import JobPage  # noqa: PLC0415 start-up time

        page = await _runs(runtime).search.page(wanted, limit=limit, cursor=None)
        return JobPage(jobs=page.jobs, next=page.next)

    found = run(context, home, work)
    if as_json:
        emit(found.jobs)
        return
    for job in found.jobs:
        click.echo(f"{job.id}  {job.state:<9}  {job.created_at:%Y-%m-%d %H:%M:%S}  {job.name}")


@jobs.command()
@click.argument("job_id", type=click.UUID)
@home_option
@json_option
@click.pass_context
def show(context: click.Context, job_id: UUID, home: Path | None, as_json: bool) -> None:
    """Show a job with its attempts."""

    async def work(runtime: Runtime) -> JobView:
        return await _runs(runtime).search.one(job_id)

    job = run(context, home, work)
    if as_json:
        emit(job)
        return
    for field in ("id", "name", "queue", "priority", "state", "key", "due_at", "progress_text", "error"):
        if (value := getattr(job, field)) is not None:
            click.echo(f"{field:<13}  {value}")
    if job.result is not None:
        click.echo(f"{'result':<13}  {bytes(job.result).decode()}")
    for attempt in job.history:
        said = f"attempt {attempt.number}"
        click.echo(f"{said:<13}  {attempt.outcome or 'running'}  {attempt.error or ''}".rstrip())


@jobs.command()
@click.argument("name")
@click.argument("arguments", default="{}")
@click.option("--key", help="While one of this name and key is not done, it is that one.")
@click.option("--queue", help="Another queue than the job's own.")
@click.option("--priority", type=click.IntRange(0, 9), help="The larger goes first.")
@click.option("--delay", "delay_seconds", type=click.FloatRange(min=0), help="Seconds to wait.")
@click.option("--max-attempts", type=click.IntRange(1, 1000), help="Another limit than the job's own.")
@home_option
@json_option
@click.pass_context
def enqueue(context: click.Context, /, home: Path | None, as_json: bool, **given: Any) -> None:
    """Ask for the job NAME with ARGUMENTS, a JSON object."""
    from modules.jobs.dtos import NewJob  # noqa: PLC0415 start-up time

    try:
        given["arguments"] = msgspec.json.decode(given["arguments"])
        wanted = msgspec.convert({key: value for key, value in given.items() if value is not None}, NewJob)
    except msgspec.DecodeError as error:
        raise click.UsageError(str(error)) from error

    async def work(runtime: Runtime) -> tuple[JobView, bool]:
        return await _runs(runtime).enqueue(wanted)

    job, is_new = run(context, home, work)
    if as_json:
        emit(job)
        return
    click.echo(f"{'enqueued' if is_new else 'has the key already:'} {job.name} {job.id}")


@jobs.command()
@click.argument("job_id", type=click.UUID)
@home_option
@click.pass_context
def cancel(context: click.Context, job_id: UUID, home: Path | None) -> None:
    """Cancel a job: at once while it waits, and while it runs when its worker hears of it."""

    async def work(runtime: Runtime) -> JobView:
        return await _runs(runtime).cancel_one(job_id)

    job = run(context, home, work)
    click.echo(f"{job.name} {job.id} {'is told to stop' if job.is_cancelling else 'is cancelled'}")


@jobs.command()
@click.argument("job_id", type=click.UUID, required=False)
@click.option("--all", "name", metavar="NAME", help="All dead jobs of this name.")
@home_option
@click.pass_context
def retry(context: click.Context, job_id: UUID | None, name: str | None, home: Path | None) -> None:
    """Ask again for a job that is dead or was cancelled, or with --all for all dead ones of a name."""
    if (job_id is None) is (name is None):
        raise click.UsageError("Give a job's id, or --all with a name.")
    wanted = None if name is None else _selection({"name": name, "state": "dead"})

    async def work(runtime: Runtime) -> int:
        runs, retried = _runs(runtime), 0
        if wanted is None:
            assert job_id is not None
            await runs.retry_one(job_id)
            return 1
        changed: Changed | None = None
        while changed is None or changed.is_more:
            changed = await runs.retry(wanted)
            retried += len(changed.ids)
        return retried

    click.echo(f"asked again for {run(context, home, work)}")


def _runs(runtime: Runtime) -> JobRuns:
    from modules.jobs.services import JobRuns  # noqa: PLC0415 start-up time

    return JobRuns(runtime)


def _selection(fields: dict[str, str]) -> Selection:
    from modules.jobs.dtos import Selection  # noqa: PLC0415 start-up time

    try:
        return msgspec.convert(fields, Selection)
    except msgspec.ValidationError as error:
        raise click.UsageError(str(error)) from error
