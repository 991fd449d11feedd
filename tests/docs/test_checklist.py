"""Every command of the checklist names something that exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def commands() -> list[str]:
    text = (ROOT / "docs/reference/checklist.md").read_text(encoding="utf-8")
    return re.findall(r"^\| .* \| `([^`]+)` \|$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("command", commands())
def test_the_command_can_be_run(command: str) -> None:
    program, *arguments = shlex.split(command)
    if program == "make":
        check = subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, check=False)
        assert check.returncode == 0
    elif program == "pytest":
        assert all((ROOT / path).exists() for path in arguments if not path.startswith("-"))
    elif program == "python":
        assert find_spec(arguments[1]) is not None
    else:
        assert Path(sys.executable).with_name(program).exists()


def test_the_checklist_has_lines() -> None:
    assert len(commands()) > 10
