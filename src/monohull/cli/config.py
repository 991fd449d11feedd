"""``monohull config check``: does the configuration hold, and would production take it?"""

from __future__ import annotations

import os
from pathlib import Path

import click

from monohull.cli.context import WRONG_CONFIGURATION, emit, reports
from monohull.kernel.commands import home_option, json_option, project_option
from monohull.kernel.configuration import load
from monohull.kernel.hardening import Finding, inspect
from monohull.kernel.heap import loading
from monohull.kernel.module import ModuleError
from monohull.kernel.settings import SettingsError, SettingsFault


@click.group()
def config() -> None:
    """Check the configuration."""


@config.command()
@click.option(
    "--env", type=click.Choice(["development", "test", "production"]), help="Check as if for this one."
)
@json_option
@home_option
@project_option
@reports
def check(*, env: str | None, as_json: bool, home: Path | None, project: Path | None) -> None:
    """Check every setting; leave with 2 and a line for each fault when it does not hold."""
    findings = examine(env, home, project)
    refused = [finding for finding in findings if finding.severity == "refused"]
    if as_json:
        emit({"ok": not refused, "findings": [_flat(finding) for finding in findings]})
    else:
        for finding in findings:
            click.echo(f"{finding.severity}: {finding.fault}", err=finding.severity == "refused")
        if not refused:
            click.echo("The configuration holds.")
    if refused:
        raise SystemExit(WRONG_CONFIGURATION)


def examine(env: str | None, home: Path | None, project: Path | None) -> list[Finding]:
    """Return what is wrong, as findings also where loading already fails."""
    options = {"env": env} if env is not None else {}
    if home is not None:
        options["home"] = str(home.absolute())
    try:
        with loading():
            loaded = load(os.environ, project=(project or Path.cwd()).absolute(), options=options)
    except SettingsError as error:
        return [Finding("refused", fault) for fault in error.faults]
    except ModuleError as error:
        return [Finding("refused", SettingsFault("MONOHULL_MODULES", "modules", str(error)))]
    settings = loaded.settings
    idle = [Finding("advice", _idle(name, settings.sources[name])) for name in settings.idle]
    return [*(inspect(settings, loaded.modules) if settings.core.is_production else ()), *idle]


def _idle(name: str, source: str) -> SettingsFault:
    return SettingsFault(name, source, "it is known and has no effect here; leave it out")


def _flat(finding: Finding) -> dict[str, str]:
    fault = finding.fault
    return {
        "severity": finding.severity,
        "variable": fault.variable,
        "source": fault.source,
        "message": fault.message,
    }
