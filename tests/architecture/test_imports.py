"""The import contracts hold, and each of them notices the fault it is there for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FAULTS = {
    "Entry points load modules, modules stand on the kernel": (
        "src/monohull/kernel/clock.py",
        "import monohull.asgi",
    ),
    "Rooms import only rooms below them": ("src/modules/query/ast.py", "import modules.rest"),
    "Rooms meet at their faces": ("src/modules/rest/module.py", "import modules.query.errors"),
    "No circles among siblings": ("src/monohull/kernel/permissions.py", "import monohull.kernel.guards"),
    "Decisions and queries know no web framework": ("src/modules/query/ast.py", "import litestar"),
}


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=root,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{root / 'src'}:{root}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "static"))
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_contracts_hold() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("contract", FAULTS)
def test_a_planted_fault_breaks_its_contract(copy: Path, contract: str) -> None:
    file, line = FAULTS[contract]
    path = copy / file
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    result = lint(copy)
    assert result.returncode == 1
    assert f"{contract} BROKEN" in result.stdout


def test_a_new_room_needs_its_line_in_the_layers(copy: Path) -> None:
    room = copy / "src" / "modules" / "unheard_of"
    room.mkdir()
    (room / "__init__.py").write_text('"""A room."""\n', encoding="utf-8")
    result = lint(copy)
    assert result.returncode == 1
    assert "unheard_of" in result.stdout
