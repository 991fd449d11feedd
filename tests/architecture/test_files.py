"""Rules about files: how long they are, what they may name, what the wheel holds."""

from __future__ import annotations

import hashlib
import importlib
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from monohull.kernel.settings import BUILTIN_MODULES
from tools.check_lengths import FAILS_LINES, measure

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "src/modules/platform/static/swagger-ui"

# Written in two halves, so that this file does not name what it looks for.
FORBIDDEN = re.compile(
    "|".join(
        (
            "/wor" + "k/",
            "/ro" + "ot/",
            r"/ho" + r"me/[a-z]",
            "/var/tm" + "p/",
            "/opt/py" + "pi",
            "pypi" + r"\.org",
            "python" + r"hosted\.org",
            "registry" + r"\.(npmjs|yarnpkg)",
            "npm" + r"js\.(org|com)",
            "--(extra-)?index-" + "url[ =]",
        )
    )
)


def tracked() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this tree is no git repository")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listing.stdout.split("\0") if name]


def test_no_machine_path_and_no_registry_host() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked()
        if path.is_file() and (match := FORBIDDEN.search(path.read_text(encoding="utf-8", errors="replace")))
    ]
    assert found == []


def test_no_state_and_no_lock_with_addresses_is_tracked() -> None:
    names = {path.name for path in tracked()}
    assert not names & {"uv.lock", ".coverage", ".DS_Store"}


def test_no_source_file_is_past_the_ceiling() -> None:
    assert [path.name for lines, path in measure([ROOT / "src"]) if lines > FAILS_LINES] == []


def test_measure_finds_a_long_file(tmp_path: Path) -> None:
    (tmp_path / "short.py").write_text("\n" * 400, encoding="utf-8")
    (tmp_path / "long.py").write_text("\n" * 401, encoding="utf-8")
    assert measure([tmp_path]) == [(401, tmp_path / "long.py")]


@pytest.mark.parametrize("dotted", BUILTIN_MODULES)
def test_faces_export_what_they_say(dotted: str) -> None:
    face = importlib.import_module(dotted)
    assert face.__doc__
    for name in getattr(face, "__all__", ()):
        assert hasattr(face, name), f"{dotted}.__all__ names {name}"


@pytest.mark.parametrize("dotted", BUILTIN_MODULES)
def test_faces_drag_no_controllers_in(dotted: str) -> None:
    program = f"import sys, {dotted}; print([m for m in sys.modules if m.startswith('{dotted}.controllers')])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_package_has_a_docstring() -> None:
    bare = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "src").rglob("*.py")
        if path.stat().st_size and not path.read_text(encoding="utf-8").lstrip().startswith(('"""', 'r"""'))
    ]
    assert bare == []


def test_only_rooms_that_hold_something() -> None:
    hollow = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "src").rglob("*")
        if path.is_dir() and path.name != "__pycache__" and not any(p.is_file() for p in path.rglob("*"))
    ]
    assert hollow == []


def asset_hashes() -> list[tuple[str, str]]:
    lines = (ASSETS / "VERSION").read_text(encoding="utf-8").splitlines()[1:]
    return [(name, digest) for digest, name in (line.split() for line in lines)]


@pytest.mark.parametrize(("name", "digest"), asset_hashes())
def test_vendored_assets_are_the_published_ones(name: str, digest: str) -> None:
    assert hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() == digest


def test_every_vendored_asset_is_listed() -> None:
    assert {path.name for path in ASSETS.iterdir()} == {"VERSION", *(name for name, _ in asset_hashes())}


def test_the_wheel_holds_what_the_product_needs(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    (wheel,) = tmp_path.glob("monohull-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".d" not in name.split("/")[0]} == {"monohull", "modules"}
    shared = "/data/share/monohull/"
    for wanted in (
        "modules/platform/static/swagger-ui/swagger-ui-bundle.js",
        f"{shared}migrations/env.py",
        f"{shared}examples/storefront/migrations/0001_storefront.sql",
        f"{shared}examples/flights/monohull.toml",
    ):
        assert any(name.endswith(wanted) for name in names), wanted
