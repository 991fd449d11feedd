"""Supervisors of tiny children, in processes of their own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.up import PYTHON, Run, open_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Starter = Callable[..., Run]

TINY = Path(__file__).with_name("tiny.py")


@pytest.fixture
def folder() -> Iterator[Path]:
    path = open_folder()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def tiny(folder: Path) -> Iterator[Starter]:
    """Make a `Run` of the tiny program; more than one shares the folder and the home."""
    runs: list[Run] = []

    def made(**environ: str) -> Run:
        run = Run(folder, [PYTHON, str(TINY), "up"], {"TINY_LOG": str(folder / "events"), **environ})
        runs.append(run)
        return run

    yield made
    for run in reversed(runs):
        run.__exit__()
