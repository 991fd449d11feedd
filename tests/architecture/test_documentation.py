"""Whatever a user can meet is documented, and the documents are what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import click
import msgspec
import pytest

from monohull.cli import main as command
from monohull.kernel.events import Event
from monohull.kernel.module import Module, load_modules
from monohull.kernel.permissions import Permission
from monohull.kernel.settings import BUILTIN_MODULES
from tools import generate_reference as reference

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def modules() -> tuple[Module, ...]:
    return load_modules(BUILTIN_MODULES)


def test_the_reference_is_current(modules: tuple[Module, ...]) -> None:
    assert reference.outdated(reference.pages(modules), reference.FOLDER) == [], "run `make docs`"


def test_check_fails_on_a_stale_page(tmp_path: Path, modules: tuple[Module, ...]) -> None:
    assert sorted(reference.outdated(reference.pages(modules), tmp_path)) == sorted(reference.pages(modules))


def test_a_setting_without_description_is_refused() -> None:
    class Bare(msgspec.Struct, frozen=True):
        """Settings."""

        prefix = "BARE_"
        size: int = 1

    with pytest.raises(reference.Undocumented, match="MONOHULL_BARE_SIZE"):
        reference.settings_page([Module(name="bare", settings=Bare)])


def test_an_event_without_docstring_is_refused() -> None:
    class BareHappened(Event, frozen=True):
        name = "bare.happened"

    with pytest.raises(reference.Undocumented, match="BareHappened"):
        reference.events_page([Module(name="bare", events=(BareHappened,))])


def test_a_permission_without_summary_is_refused() -> None:
    with pytest.raises(reference.Undocumented, match="bare:read"):
        reference.permissions_page([Module(name="bare", permissions=(Permission("bare:read", ""),))])


def test_every_command_of_the_contract_is_there() -> None:
    found = {path for path, _ in reference.commands(command, "monohull")}
    wanted = (
        "up serve worker migrate init status doctor version keys.show keys.create keys.revoke config.check"
    )
    assert {f"monohull {name.replace('.', ' ')}" for name in wanted.split()} <= found


def test_every_command_takes_home() -> None:
    lacking = [
        path
        for path, verb in reference.commands(command, "monohull")
        if not any(isinstance(p, click.Option) and "--home" in p.opts for p in verb.params)
    ]
    assert lacking == []


def links() -> list[tuple[Path, str]]:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("changes/*.md")]
    found = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8"))]
    return [(page, " ".join(link.split())) for page, link in found if "://" not in link]


@pytest.mark.parametrize(("page", "link"), links(), ids=lambda value: getattr(value, "name", str(value)))
def test_links_lead_somewhere(page: Path, link: str) -> None:
    assert (page.parent / link.replace(" ", "")).exists()


def test_files_named_in_the_code_map_exist() -> None:
    text = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    folders = (ROOT, ROOT / "src", ROOT / "src/monohull", ROOT / "src/modules")
    named = re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py)?)(?:: [^`]*)?`", text)
    lost = [name for name in named if not any((folder / name).exists() for folder in folders)]
    assert named
    assert lost == []


def test_decisions_have_their_four_parts() -> None:
    for page in ROOT.glob("docs/decisions/*.md"):
        heads = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert heads == ["Context", "Decision", "Consequences", "Alternatives considered"], page.name


def test_make_help_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^\.PHONY: (.+)$", text, flags=re.MULTILINE)
    documented = re.findall(r"^([a-z-]+):.*## \S", text, flags=re.MULTILINE)
    assert sorted(targets) == sorted(documented)
