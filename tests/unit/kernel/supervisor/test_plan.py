"""What ``monohull up`` makes of its options before it touches anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from monohull.kernel.database.errors import MigrationRefused
from monohull.kernel.home import Home
from monohull.kernel.refusals import WrongSetup
from monohull.kernel.settings import SettingsError
from monohull.kernel.supervisor import block, migrated, plan
from monohull.kernel.supervisor.migrated import fingerprint, is_unchanged, record_migrated, was_migrated
from monohull.kernel.supervisor.plan import Plan, make_plan, record_contents

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "examples"
    for name in ("shop", "flights"):
        (root / name).mkdir(parents=True)
        (root / name / "monohull.toml").write_text(f'log_level = "error"\n[project]\nname = "{name}"\n')
    (root / "shop" / "after_start.txt").write_text("curl {url} -H 'apikey: {anon_key}' -d '{\"a\": 1}'\n")
    monkeypatch.setattr(plan, "example_roots", lambda: (tmp_path / "missing", root))
    return root


def planned(directory: Path, environ: dict[str, str] | None = None, **options: Any) -> Plan:
    directory.mkdir(exist_ok=True)
    return make_plan(environ or {}, directory=directory, options={}, **options)


def test_the_project_is_where_the_command_was_called(tmp_path: Path) -> None:
    found = planned(tmp_path / "work")
    assert (found.project, found.home.path) == (tmp_path / "work", tmp_path / "work" / ".monohull")
    assert found.after_start == ""


def test_an_example_keeps_its_state_in_the_callers_folder(tmp_path: Path, examples: Path) -> None:
    found = planned(tmp_path / "work", example="shop")
    assert found.project == examples / "shop"
    assert found.home.path == tmp_path / "work" / ".monohull"
    assert found.settings.core.log_level == "error"
    assert found.settings.home == found.home.path


def test_the_example_of_a_home_is_remembered(tmp_path: Path, examples: Path) -> None:
    record_contents(planned(tmp_path / "work", example="shop"), {"postgres": "18.6"})
    again = planned(tmp_path / "work")
    assert (again.example, again.project) == ("shop", examples / "shop")
    marker = again.home.marker()
    assert marker is not None
    assert marker.versions["postgres"] == "18.6"
    with pytest.raises(WrongSetup, match="holds the example 'shop'"):
        planned(tmp_path / "work", example="flights")
    assert planned(tmp_path / "work", example="flights", fresh=True).example == "flights"


@pytest.mark.usefixtures("examples")
def test_a_project_of_ones_own_does_not_slip_into_an_examples_home(tmp_path: Path) -> None:
    record_contents(planned(tmp_path / "work", example="shop"), {})
    (tmp_path / "work" / "monohull.toml").touch()
    with pytest.raises(WrongSetup, match="holds the example 'shop'"):
        planned(tmp_path / "work")


@pytest.mark.parametrize("name", ["nothing", "../shop", "", "Shop"])
@pytest.mark.usefixtures("examples")
def test_an_unknown_example_lists_the_known(tmp_path: Path, name: str) -> None:
    with pytest.raises(WrongSetup, match="there are: flights, shop"):
        planned(tmp_path / "work", example=name)


@pytest.mark.usefixtures("examples")
def test_production_takes_no_example(tmp_path: Path) -> None:
    with pytest.raises(WrongSetup, match="known passwords"):
        planned(tmp_path / "work", {"MONOHULL_ENV": "production"}, example="shop")


def test_a_wrong_setting_stops_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="MONOHULL_PORT"):
        planned(tmp_path / "work", {"MONOHULL_PORT": "eighty"})


def test_relative_secret_files_hold_in_the_childrens_folder(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "jwt").write_text("s" * 40)
    environ = {"MONOHULL_JWT_SECRET_FILE": str(tmp_path / "work" / "jwt"), "OTHER_FILE": "x"}
    found = planned(tmp_path / "work", environ)
    assert found.environ == environ
    assert plan.absolute_files({"MONOHULL_JWT_SECRET_FILE": "jwt"}, tmp_path) == {
        "MONOHULL_JWT_SECRET_FILE": str(tmp_path / "jwt")
    }


def test_examples_are_found_in_the_checkout() -> None:
    checkout, _ = plan.example_roots()
    assert (checkout / "storefront").is_dir()


@pytest.mark.usefixtures("examples")
def test_the_block_fills_in_the_examples_lines(tmp_path: Path) -> None:
    found = planned(tmp_path / "work", {"MONOHULL_ANON_KEY": "the-anon-key"}, example="shop")
    text = block.ready_block(found, "http://127.0.0.1:9", 1.25)
    assert "ready after 1.2 s" in text
    assert "http://127.0.0.1:9/docs" in text
    assert "curl http://127.0.0.1:9 -H 'apikey: the-anon-key' -d '{\"a\": 1}'" in text
    assert block.keys_of(found.settings, found.home)[1] in text


def test_production_does_not_print_the_service_key(tmp_path: Path) -> None:
    found = planned(tmp_path / "work", {"MONOHULL_ENV": "production", "MONOHULL_JWT_SECRET": "s3cret" * 8})
    text = block.ready_block(found, "http://127.0.0.1:9", 1.0)
    assert block.keys_of(found.settings, found.home)[1] not in text
    assert "monohull keys show" in text


def test_services_alone_say_where_to_look(tmp_path: Path) -> None:
    assert "status --format env" in block.services_block(planned(tmp_path / "work"), 1.0)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("api.local", "http://api.local:80"),
    ],
)
def test_the_local_address(tmp_path: Path, host: str, url: str) -> None:
    assert block.local_url(planned(tmp_path / "work", {"MONOHULL_HOST": host}).settings.core, 80) == url


def test_a_home_of_another_place_wins(tmp_path: Path) -> None:
    found = planned(tmp_path / "work", {"MONOHULL_HOME": str(tmp_path / "elsewhere")})
    assert found.home.path == tmp_path / "elsewhere"
    assert Home(found.settings.home).path == found.home.path


def test_only_a_home_that_this_version_migrated_counts_as_migrated(tmp_path: Path) -> None:
    found = planned(tmp_path / "work")
    assert not was_migrated(found)
    record_contents(found, {})
    assert not was_migrated(found)
    record_migrated(found)
    record_migrated(found)
    assert was_migrated(found)
    marker = found.home.marker()
    assert marker is not None
    found.home.update_marker(msgspec.structs.replace(marker, migrated_by="0.0.1"))
    assert not was_migrated(found), "another version may have migrations of its own"


def test_an_external_database_is_migrated_before_anything_else_starts(tmp_path: Path) -> None:
    found = planned(tmp_path / "work", {"MONOHULL_DATABASE_URL": "postgresql://127.0.0.1/x"})
    record_migrated(found)
    assert not was_migrated(found)


@pytest.mark.parametrize("name", ["monohull.toml", "migrations/0001_one.sql", "seed.sql", "seed/more.csv"])
def test_a_changed_file_of_the_project_is_news(tmp_path: Path, name: str) -> None:
    found = planned(tmp_path / "work")
    record_migrated(found)
    assert is_unchanged(found)
    path = found.project / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("# one\n")
    assert not is_unchanged(found)
    record_migrated(found)
    assert is_unchanged(found)
    path.write_text("# two\n")
    assert not is_unchanged(found)
    path.unlink()
    assert not is_unchanged(found)


def test_changed_configuration_is_news_and_its_fingerprint_tells_nothing(tmp_path: Path) -> None:
    found = planned(tmp_path / "work", {"MONOHULL_SMTP_PASSWORD": "hunter2", "HOME": "/one"})
    record_migrated(found)
    assert is_unchanged(planned(tmp_path / "work", {"MONOHULL_SMTP_PASSWORD": "hunter2", "HOME": "/two"}))
    assert not is_unchanged(planned(tmp_path / "work", {"MONOHULL_SMTP_PASSWORD": "hunter3"}))
    elsewhere = planned(tmp_path / "other", {"MONOHULL_SMTP_PASSWORD": "hunter2"})
    moved = msgspec.structs.replace(elsewhere, project=found.project)
    assert fingerprint(moved) != fingerprint(found), "another home has another key"


def test_what_cannot_be_read_is_left_to_the_migrator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = planned(tmp_path / "work")
    record_migrated(found)

    def fails() -> Path:
        raise MigrationRefused("the folder is missing")

    monkeypatch.setattr(migrated, "locate", fails)
    assert fingerprint(found) is None
    assert not is_unchanged(found)
    record_migrated(found)
    assert not is_unchanged(found)
