from __future__ import annotations

import runpy
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from monohull.kernel.database import migrations, platform_version, revisions
from monohull.kernel.database.errors import MigrationRefused

if TYPE_CHECKING:
    from pathlib import Path


def test_revisions_are_numbered_without_a_gap() -> None:
    files = sorted((revisions.locate() / "versions").glob("*.py"))
    found = [runpy.run_path(str(path)) for path in files]
    numbers = [f"{number:04}" for number in range(1, len(files) + 1)]
    assert [path.name[:4] for path in files] == numbers
    assert [one["revision"] for one in found] == numbers
    assert [one["down_revision"] for one in found] == [None, *numbers[:-1]]
    assert migrations.head() == numbers[-1]
    assert platform_version.known_revisions() == tuple(numbers)


def test_an_installed_wheel_has_them_below_the_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = (
        tmp_path / "lib" / "python3.11" / "site-packages" / "monohull" / "kernel" / "database" / "m.py"
    )
    monkeypatch.setattr(revisions, "__file__", str(installed))
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    with pytest.raises(MigrationRefused, match="install Monohull again"):
        revisions.locate()
    folder = tmp_path / "share" / "monohull" / "migrations"
    folder.mkdir(parents=True)
    (folder / "env.py").touch()
    assert revisions.locate() == folder


def test_alembic_alone_is_refused() -> None:
    config = Config()
    config.set_main_option("script_location", str(revisions.locate()))
    with pytest.raises(CommandError, match="run `monohull migrate`"):
        command.upgrade(config, "head")


def test_a_login_does_not_show_its_password() -> None:
    assert repr(migrations.Login("s3cret")) == "Login(is_reset=False)"
