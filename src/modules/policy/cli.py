"""``monohull policy explain``: why a request is refused or finds nothing, from the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from monohull.kernel.commands import emit, home_option, json_option, project_option, run

if TYPE_CHECKING:
    from pathlib import Path

    from modules.policy.findings import Explanation
    from monohull.kernel.runtime import Runtime

R = TypeVar("R")


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
@home_option
@project_option
@json_option
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
        from modules.rbac import RoleSource  # noqa: PLC0415 start-up time
        from modules.rest import data_service  # noqa: PLC0415 start-up time

        runtime.grants.use(RoleSource(runtime.database, runtime.grants))
        async with data_service(runtime).standing_by() as api:
            line = parse_line(request)
            principal = await find_caller(runtime, caller, role=role, claims=given)
            scope = scope_of(line, sent, principal, runtime.authentication, has_body=body is not None)
            explanations = Explanations(runtime, api)
            return await explanations.explain(scope, (body or "").encode(), principal, rows=rows)

    found = run(context, home, work, project=project)
    if as_json:
        emit(found)
    else:
        click.echo(printed(found))


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
