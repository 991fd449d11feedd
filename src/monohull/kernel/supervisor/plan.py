"""What `monohull up` was asked for, checked before anything is touched."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

import monohull
from monohull.kernel.home import Home
from monohull.kernel.refusals import WrongSetup
from monohull.kernel.settings import PROJECT_FILE, Settings, load_core

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

EXAMPLE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
AFTER_START: Final = "after_start.txt"


class Plan(Struct, frozen=True, kw_only=True):
    """One run of the supervisor.

    Attributes:
        settings: Core and token settings; the modules' own are checked by the children.
        home: Where state lives.
        project: Folder of ``monohull.toml`` and migrations: the working directory of the children.
        environ: Environment of the children.
        example: Name of the example in this home, if there is one.
        fresh: Empty the home first.
        services_only: Start the embedded servers and migrate, and leave API and worker to others.
        program: How the children's commands begin; ``-P`` keeps a project's folder ``modules``
            from standing in for ours.
    """

    settings: Settings
    home: Home
    project: Path
    environ: Mapping[str, str]
    example: str | None = None
    fresh: bool = False
    services_only: bool = False
    program: tuple[str, ...] = (sys.executable, "-P", "-m", "monohull")

    @property
    def after_start(self) -> str:
        """Text to print below the block, with ``{url}``, ``{anon_key}`` and ``{service_key}`` to fill in."""
        try:
            return (self.project / AFTER_START).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""


def make_plan(  # noqa: PLR0913 (the options of one command)
    environ: Mapping[str, str],
    *,
    directory: Path,
    options: Mapping[str, str],
    example: str | None = None,
    fresh: bool = False,
    services_only: bool = False,
) -> Plan:
    """Bring settings, home and project together.

    Args:
        environ: The process' environment.
        directory: Where the command was called: a relative home is relative to it.
        options: Command options by setting name.
        example: Name of an example to use as the project.
        fresh: Empty the home first.
        services_only: No API and no worker.

    Raises:
        SettingsError: A setting is wrong.
        WrongSetup: The example does not exist, or must not be used here.
    """
    home = Home(directory / load_core(environ=environ, project=directory, options=options).core.home)
    marker = home.marker()
    known = marker.example if marker is not None and not fresh else None
    if example is None and not (directory / PROJECT_FILE).exists():
        example = known
    if known is not None and example != known:
        raise WrongSetup(
            f"the home {home.path} holds the example {known!r}; "
            "take another --home, or replace its contents with --fresh"
        )
    project = directory if example is None else example_project(example)
    settings = load_core(environ=environ, project=project, options={**options, "home": str(home.path)})
    if example is not None and settings.core.is_production:
        raise WrongSetup("examples come with known passwords and do not run with MONOHULL_ENV=production")
    return Plan(
        settings=settings,
        home=home,
        project=project,
        environ=absolute_files(environ, directory),
        example=example,
        fresh=fresh,
        services_only=services_only,
    )


def absolute_files(environ: Mapping[str, str], directory: Path) -> dict[str, str]:
    """Make the paths of ``MONOHULL_…_FILE`` hold in any working directory."""
    return {
        name: str(directory / value) if name.startswith("MONOHULL_") and name.endswith("_FILE") else value
        for name, value in environ.items()
    }


def example_roots() -> Iterable[Path]:
    """Return where examples are: in a checkout, else where the wheel puts its shared files."""
    assert monohull.__file__ is not None
    checkout = Path(monohull.__file__).resolve().parents[2]
    return (checkout / "examples", Path(sys.prefix) / "share" / "monohull" / "examples")


def example_project(name: str) -> Path:
    """Return the folder of the example ``name``.

    Raises:
        WrongSetup: There is none; the message lists those that exist.
    """
    roots = [root for root in example_roots() if root.is_dir()]
    if EXAMPLE_NAME.fullmatch(name):
        for root in roots:
            if (root / name / PROJECT_FILE).is_file():
                return root / name
    names = sorted({path.parent.name for root in roots for path in root.glob(f"*/{PROJECT_FILE}")})
    raise WrongSetup(f"there is no example {name!r}; there are: {', '.join(names) or 'none'}")


def record_contents(plan: Plan, versions: Mapping[str, str]) -> None:
    """Record in the home what is in it now."""
    marker = plan.home.create()
    changed = msgspec.structs.replace(
        marker,
        example=plan.example,
        versions={**marker.versions, **versions, "monohull": monohull.__version__},
    )
    if changed != marker:
        plan.home.update_marker(changed)
