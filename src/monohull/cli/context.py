"""What every command shares: ``--home``, ``--json``, loading the configuration, exit codes.

Exit codes are part of the contract: 0 done, 1 the thing checked does not hold,
2 wrong usage or configuration, 3 a dependency is not reachable, 130 interrupted.
"""

from __future__ import annotations

import asyncio
import functools
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, ParamSpec, TypeVar

import click
import msgspec

from monohull.kernel.errors import Problem, Unavailable
from monohull.kernel.heap import loading
from monohull.kernel.refusals import Refused, WrongSetup
from monohull.kernel.settings import BUILTIN_MODULES, CoreSettings, SettingsError, load_core

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from monohull.kernel.configuration import Configuration
    from monohull.kernel.runtime import Runtime

P = ParamSpec("P")
R = TypeVar("R")

DONE: Final = 0
DOES_NOT_HOLD: Final = 1
WRONG_CONFIGURATION: Final = 2
NOT_REACHABLE: Final = 3
INTERRUPTED: Final = 130


def fail(message: str, code: int) -> NoReturn:
    """Print ``message`` on stderr and leave with ``code``."""
    click.echo(message, err=True)
    sys.exit(code)


def emit(value: Any) -> None:
    """Print ``value`` as indented JSON on stdout."""
    click.echo(msgspec.json.format(msgspec.json.encode(value, enc_hook=str)).decode())


def configuration(home: Path | None = None, project: Path | None = None, **options: Any) -> Configuration:
    """Load settings and modules for a command, its options winning over the environment.

    Leaves with 2 and a line for every fault when the configuration does not hold.
    """
    from monohull.kernel.configuration import load  # noqa: PLC0415 imports every module

    try:
        with loading():
            return load(
                os.environ,
                project=(project or Path.cwd()).absolute(),
                options=_given(options, home),
                builtin=BUILTIN_MODULES,
            )
    except (SettingsError, WrongSetup) as error:
        fail(str(error), WRONG_CONFIGURATION)


def core_settings(home: Path | None = None, **options: Any) -> CoreSettings:
    """Load what the kernel needs, and export the command's options to the processes it will start.

    For commands that live long and stay small: no module is imported.
    """
    given = _given(options, home)
    try:
        core = load_core(environ=os.environ, project=Path.cwd(), options=given).core
    except SettingsError as error:
        fail(str(error), WRONG_CONFIGURATION)
    os.environ.update({f"MONOHULL_{name.upper()}": value for name, value in given.items()})
    return core


def _given(options: Mapping[str, Any], home: Path | None) -> dict[str, str]:
    given = {name: str(value) for name, value in options.items() if value is not None}
    return given | ({"home": str(home.absolute())} if home is not None else {})


def in_child(work: Callable[[], object]) -> int:
    """Run ``work`` in a forked child and return its exit code, so that its imports die with it."""
    sys.stdout.flush()
    sys.stderr.flush()
    if (pid := os.fork()) == 0:
        code = DOES_NOT_HOLD
        try:
            reports(work)()
            code = DONE
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else DOES_NOT_HOLD
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def exit_code_of(error: BaseException) -> int | None:
    """Return the exit code that an exception means, or None when it is a defect."""
    if isinstance(error, Refused):
        return error.exit_code
    if isinstance(error, SettingsError):
        return WRONG_CONFIGURATION
    if isinstance(error, Unavailable):
        return NOT_REACHABLE
    if isinstance(error, Problem):
        return DOES_NOT_HOLD
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return None


def reports(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the exceptions a command may meet into one line and the right exit code."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (Exception, KeyboardInterrupt) as error:
            code = exit_code_of(error)
            if code is None:
                raise
            hint = getattr(error, "hint", None)
            fail(f"{str(error) or 'interrupted'}{f' {hint}' if hint else ''}", code)

    return wrapped


def run_with(loaded: Configuration, work: Callable[[Runtime], Awaitable[R]]) -> R:
    """Open a `Runtime` of process ``cli``, run ``work`` with it and close it."""
    from monohull.kernel.home import connections  # noqa: PLC0415 start-up time
    from monohull.kernel.logs import configure_logging  # noqa: PLC0415 start-up time
    from monohull.kernel.origin import Origin, current_source  # noqa: PLC0415 start-up time
    from monohull.kernel.runtime import Runtime  # noqa: PLC0415 start-up time

    async def run() -> R:
        configure_logging(loaded.settings.core, process="cli")
        current_source.set(Origin(kind="command", subject=system_user()))
        runtime = Runtime(loaded.settings, loaded.modules, connections(loaded.settings), process="cli")
        async with runtime.running():
            return await work(runtime)

    return asyncio.run(run())


def system_user() -> str | None:
    """Return the name of who gave the command; None where the system knows none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None
