"""A revision that says that the code before can go on with it takes nothing away from that code."""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING, Any

import pytest

from monohull.kernel.database.revisions import locate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TAKES_AWAY = re.compile(
    r"\bdrop\s+(table|column|function|view|type|schema|trigger|policy|constraint|sequence|default)\b"
    r"|\brename\b|\bset\s+not\s+null\b|\balter\s+column\s+\S+\s+(set\s+data\s+)?type\b|\brevoke\b"
    r"|\badd\s+constraint\b|\bcreate\s+unique\s+index\b|\btruncate\b|\bset\s+schema\b",
    re.IGNORECASE,
)


class Recorder:
    """Stands in for ``alembic.op`` and keeps what it is told to run."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def execute(self, statement: Any) -> None:
        self.statements.append(str(statement))


def complaints(path: Path) -> Iterator[str]:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if getattr(module, "expands", False):
        module.op = recorder = Recorder()
        module.upgrade()
        for statement in recorder.statements:
            yield from (f"{path.name}: {found[0]}" for found in TAKES_AWAY.finditer(statement))


def test_what_expands_takes_nothing_away() -> None:
    files = sorted((locate() / "versions").glob("[0-9]*.py"))
    assert len(files) > 20
    assert [found for path in files for found in complaints(path)] == []


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("alter table monohull.jobs drop column note", ["drop column"]),
        ("alter table monohull.jobs rename note to remark", ["rename"]),
        ("alter table monohull.jobs alter column note set not null", ["set not null"]),
        ("alter table monohull.jobs alter column note type integer", ["alter column note type"]),
        ("create unique index i on monohull.jobs (note)", ["create unique index"]),
        ("alter table monohull.jobs add column note text; create table monohull.notes (id int)", []),
    ],
)
def test_what_is_found(tmp_path: Path, statement: str, found: list[str]) -> None:
    path = tmp_path / "9999_planted.py"
    text = f"from alembic import op\nexpands = {{}}\ndef upgrade():\n    op.execute({statement!r})\n"
    path.write_text(text.format(True))
    assert list(complaints(path)) == [f"9999_planted.py: {one}" for one in found]
    path.write_text(text.format(False))
    assert list(complaints(path)) == []
