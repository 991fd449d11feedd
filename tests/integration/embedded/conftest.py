"""Folders for embedded servers that leave nothing outside when the test ends."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from monohull.kernel.embedded import account, discard

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder below pytest's, which is closed to everybody else: as root, data goes elsewhere."""
    monkeypatch.setattr(account, "DURABLE_ROOT", Path(tempfile.gettempdir()))
    folder = tmp_path / "state"
    folder.mkdir()
    yield folder
    if folder.exists():
        discard(folder)
