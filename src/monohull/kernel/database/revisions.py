"""Where the platform's revisions lie; apart from `migrations`, so that to ask costs no import of Alembic."""

from __future__ import annotations

import sys
from pathlib import Path

from monohull.kernel.database.errors import MigrationRefused


def locate() -> Path:
    """Return the folder of the revisions: the repository's, else the installed one.

    Raises:
        MigrationRefused: It is in neither place.
    """
    candidates = (
        Path(__file__).resolve().parents[4] / "migrations",
        Path(sys.prefix) / "share" / "monohull" / "migrations",
    )
    for folder in candidates:
        if (folder / "env.py").is_file():
            return folder
    raise MigrationRefused(
        "the folder with the platform's migrations is missing; install Monohull again "
        f"(looked for {' and '.join(str(folder) for folder in candidates)})"
    )
