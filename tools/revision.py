"""``make revision TITLE="..."``: begin the next revision of the platform schema.

Revisions are numbered and linear; the SQL is written by hand, so the new file
has an empty `upgrade` and `downgrade` and the number after the newest one.
"""

from __future__ import annotations

import re
import sys

from alembic import command
from alembic.config import Config

from monohull.kernel.database.migrations import head
from monohull.kernel.database.revisions import locate


def slug(title: str) -> str:
    """Return ``title`` as a part of a file name.

    >>> slug("Users: add a nickname!")
    'users_add_a_nickname'
    """
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")


def main() -> int:
    """Write the file and print its name."""
    title = " ".join(sys.argv[1:]).strip().rstrip(".")
    if not slug(title):
        print('say what it is for: make revision TITLE="Users: add a nickname"', file=sys.stderr)
        return 2
    folder = locate()
    number = f"{int(head(folder)) + 1:04}"
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("file_template", f"{number}_{slug(title)}")
    script = command.revision(config, message=title, rev_id=number)
    print(getattr(script, "path", script))
    return 0


if __name__ == "__main__":
    sys.exit(main())
