"""``monohull init DIR``: a new project that runs as it is."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template
from typing import Final

import click

from monohull.cli.context import WRONG_CONFIGURATION, emit, fail, reports
from monohull.kernel.commands import home_option, json_option
from monohull.kernel.refusals import writing

FILES: Final = {
    "monohull.toml": """\
# Settings of this project; the environment wins over this file.
# Every name is in the reference of settings: [rest] max_rows is MONOHULL_REST_MAX_ROWS.

[project]
name = "$name"

[rest]
schemas = ["public"]
""",
    "migrations/0001_notes.sql": """\
-- Files here run once, in the order of their numbers, each in a transaction.
-- A table is closed until a policy opens it.

create table notes (
  id uuid primary key default gen_random_uuid(),
  owner_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  body text not null check (length(body) between 1 and 10000),
  created_at timestamptz not null default now()
);
comment on table notes is 'What a user wrote down.';
create index notes_owner_id_created_at_idx on notes (owner_id, created_at desc);

alter table notes enable row level security;
create policy "owners read their notes" on notes for select to authenticated
  using (owner_id = (select auth.uid()));
create policy "owners write their notes" on notes for insert to authenticated
  with check (owner_id = (select auth.uid()));
""",
    "functions/README.md": "# Functions\n\nPython functions of this project.\n",
    "modules/README.md": (
        "# Modules\n\nPython packages that join the product; name them in "
        "`modules = [...]` of monohull.toml.\n"
    ),
    "tests/README.md": "# Tests\n\nTests of this project's policies and functions.\n",
    ".gitignore": ".monohull/\n",
    "README.md": """\
# $name

```sh
monohull up        # database, Redis, migrations, API and worker
monohull status    # addresses and keys
```
""",
}


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@json_option
@home_option
@reports
def init(*, directory: Path, as_json: bool, home: object) -> None:
    """Create a new project in DIRECTORY; files that exist are not touched."""
    del home  # every command takes it
    if (directory / "monohull.toml").exists():
        fail(f"{directory} is a project already: it has a monohull.toml.", WRONG_CONFIGURATION)
    name = re.sub(r"[^a-z0-9_-]+", "-", directory.absolute().name.lower()).strip("-") or "project"
    written = create(directory, name)
    if as_json:
        emit({"project": name, "directory": str(directory), "files": written})
        return
    click.echo(f"Created the project {name} in {directory}:")
    for file in written:
        click.echo(f"  {file}")
    click.echo(f"Next: cd {directory} && monohull up")


def create(directory: Path, name: str) -> list[str]:
    """Write the files that are not there yet and return their names."""
    written: list[str] = []
    for relative, text in FILES.items():
        path = directory / relative
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                continue
            path.write_text(Template(text).substitute(name=name), encoding="utf-8")
        written.append(relative)
    return written
