"""What the home remembers of its migrations, so that a start without news need not look for any.

A migrator loads the whole product to find that there is nothing to do, at the
very time when API and worker load it too. So the home keeps a fingerprint of
all that could give a migrator work: this version, the platform's revisions, the
project's migrations and seeds, the configuration. Where it is the same, API and
worker start at once; they look at the database themselves, and when it lacks
something after all (its files were put back from elsewhere), they say so and
the migrator is called.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

import msgspec

from monohull import __version__
from monohull.kernel.crypto import derive_password
from monohull.kernel.database.errors import MigrationRefused
from monohull.kernel.database.revisions import locate
from monohull.kernel.home import jwt_secret
from monohull.kernel.settings import PROJECT_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from monohull.kernel.supervisor.plan import Plan

PURPOSE: Final = "migrations fingerprint"
PROJECT_FOLDERS: Final = ("migrations", "seed")
PROJECT_FILES: Final = (PROJECT_FILE, "seed.sql")


def was_migrated(plan: Plan) -> bool:
    """Say whether this version migrated the home's own database before."""
    marker = plan.home.marker()
    return (
        plan.settings.core.database_url is None and marker is not None and marker.migrated_by == __version__
    )


def is_unchanged(plan: Plan) -> bool:
    """Say whether a migrator has seen all of this before, and everything was applied then."""
    marker = plan.home.marker()
    return (
        was_migrated(plan)
        and marker is not None
        and marker.migrated is not None
        and marker.migrated == fingerprint(plan)
    )


def record_migrated(plan: Plan) -> None:
    """Record that what this version and the project bring is applied."""
    marker = plan.home.create()
    changed = msgspec.structs.replace(marker, migrated_by=__version__, migrated=fingerprint(plan))
    if changed != marker:
        plan.home.update_marker(changed)


def fingerprint(plan: Plan) -> str | None:
    """Return 64 hexadecimal digits, or None when something cannot be read: then the migrator says what.

    Its key is derived from the home's secret: the configuration holds passwords, of which no plain hash
    may lie around.
    """
    key = derive_password(jwt_secret(plan.settings, plan.home), PURPOSE)
    digest = hmac.new(key.encode(), digestmod=hashlib.sha256)
    try:
        for name, content in _parts(plan):
            digest.update(f"{len(name)} {len(content)} ".encode() + name.encode() + content)
    except (OSError, MigrationRefused):
        return None
    return digest.hexdigest()


def _parts(plan: Plan) -> Iterator[tuple[str, bytes]]:
    yield "version", __version__.encode()
    yield "project", str(plan.project).encode()
    for name, value in sorted(plan.environ.items()):
        if name.startswith("MONOHULL_"):
            yield name, value.encode(errors="surrogateescape")
    for path in sorted((locate() / "versions").glob("*.py")):
        yield f"platform/{path.name}", path.read_bytes()
    for path in _project_files(plan.project):
        yield str(path.relative_to(plan.project)), path.read_bytes()


def _project_files(project: Path) -> Iterator[Path]:
    for name in PROJECT_FILES:
        if (project / name).is_file():
            yield project / name
    for folder in PROJECT_FOLDERS:
        yield from sorted(path for path in (project / folder).rglob("*") if path.is_file())
