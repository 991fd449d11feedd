"""``monohull policy explain``: why a request is refused or finds nothing, from the terminal."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import click
import msgspec

from monohull.kernel.errors import Problem, Unavailable
from monohull.kernel.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from modules.policy.findings import Explanation
    from monohull.kernel.configuration import Configuration
    from monohull.kernel.runtime import Runtime

R = TypeVar("R")


class CommandContext(Protocol):
    """What the ``monohull`` command hands to a module's commands."""

    def load(self, home: Path | None = None, project: Path | None = None) -> Configuration:
        """Read settings and modules."""
        ...

    def run(self, loaded: Configuration, work: Callable[[Runtime], Awaitable[R]]) -> R:
        """Run ``work`` with an open runtime."""
        ...


class CommandRefused(click.ClickException):
    """Ends the command with an exit code of its own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it for the class


@click.group(name="policy", context_settings={"help_option_names": ["-h", "--help"]})
def policy() -> None:
    """Row security: explain what it does to a request."""


@policy.command()
@click.argument("request")
@click.option("--as", "caller", required=True, help="anon, service, user:ID or key:ID.")
@click.option("--role", help="Database role in place of the caller's own.")
@click.option("--claims", help="JSON object, laid over the claims of the caller's token.")
@click.option("--body", help="Body of a write or a call, JSON.")
@click.option("--header", "headers", multiple=True, help="'Name: value', such as 'Prefer: …'; repeat.")
@click.option("--rows", type=click.IntRange(1, 50), default=5, show_default=True, help="Rows to examine.")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the embedded services and secrets.",
)
@click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of monohull.toml.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def explain(  # noqa: PLR0913, PLR0917 click passes one an option
    context: click.Context,
    request: str,
    caller: str,
    role: str | None,
    claims: str | None,
    body: str | None,
    headers: tuple[str, ...],
    rows: int,
    home: Path | None,
    project: Path | None,
    as_json: bool,
) -> None:
    """Try REQUEST as somebody, undo it, and say what decided about it.

    REQUEST is method and address: 'GET /rest/v1/orders?id=eq.1'.
    """
    from modules.policy.printing import printed  # noqa: PLC0415 start-up time

    given = _claims(claims)
    sent = dict(map(_header, headers))

    async def work(runtime: Runtime) -> Explanation:
        from modules.policy.asked import parse_line, scope_of  # noqa: PLC0415 start-up time
        from modules.policy.callers import find_caller  # noqa: PLC0415 start-up time
        from modules.policy.services import Explanations  # noqa: PLC0415 start-up time
        from modules.rest import data_service  # noqa: PLC0415 start-up time

        async with data_service(runtime).standing_by() as api:
            line = parse_line(request)
            principal = await find_caller(runtime, caller, role=role, claims=given)
            scope = scope_of(line, sent, principal, runtime.authentication, has_body=body is not None)
            explanations = Explanations(runtime, api)
            return await explanations.explain(scope, (body or "").encode(), principal, rows=rows)

    commands = cast("CommandContext", context.obj)
    loaded = commands.load(home, project)
    with _refusals():
        found = commands.run(loaded, work)
    click.echo(msgspec.json.format(msgspec.json.encode(found)).decode() if as_json else printed(found))


def _claims(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise click.UsageError(f"--claims is no JSON object: {error}") from error


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.UsageError(f"--header {text!r} does not read 'Name: value'")
    return name.strip(), value.strip()


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
