"""The guide to testing policies does what it says, in a project of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.docs.test_tutorial import READY_SECONDS, ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

GUIDE: Final = ROOT / "docs/how-to/test-policies.md"
PROGRAM: Final = Path(sys.executable).with_name("monohull")


def blocks(language: str) -> list[str]:
    """Return the guide's blocks in ``language``, in order."""
    text = GUIDE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = command.split()
    assert program == "monohull"
    return subprocess.run(
        [PROGRAM, *arguments],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A started project with the guide's table."""
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations/0001_notes.sql").write_text(blocks("sql")[0], encoding="utf-8")
    (tmp_path / "monohull.toml").write_text('[project]\nname = "notes"\n' + blocks("toml")[1], "utf-8")
    output = tmp_path / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [PROGRAM, "up"], cwd=tmp_path, env=clean_environment(), stdout=file, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + READY_SECONDS
        while run("monohull status", tmp_path).returncode or "http://" not in output.read_text("utf-8"):
            assert process.poll() is None, output.read_text("utf-8")
            assert time.monotonic() < deadline, output.read_text("utf-8")
            time.sleep(0.2)
        yield tmp_path
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.slow
def test_the_guide_does_what_it_says(project: Path) -> None:
    matrix, test, mutate = (block.strip() for block in blocks("sh"))
    written = run(matrix, project)
    assert written.returncode == 0, written.stderr
    assert blocks("toml")[0] in (project / "policies.toml").read_text(encoding="utf-8")
    passed = run(test, project)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    mutated = run(mutate, project)
    assert mutated.returncode == 0, mutated.stdout + mutated.stderr
    assert "1 of 1 policies would be missed" in mutated.stdout
    (project / "migrations/0002_widen.sql").write_text(blocks("sql")[1], encoding="utf-8")
    migrated = run("monohull migrate", project)
    assert migrated.returncode == 0, migrated.stderr
    failed = run(test, project)
    assert failed.returncode == 1
    assert blocks("text")[0].strip() in failed.stdout
