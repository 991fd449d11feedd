"""The pipelines call targets that there are, the same everywhere, and their languages are kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.deploy.bench import CHART, DEPLOY, ROOT, Bench, BenchError, output, program
from tools import changelog

if TYPE_CHECKING:
    from pathlib import Path

GITHUB = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PIPELINES = {
    "github": "\n".join(path.read_text(encoding="utf-8") for path in GITHUB),
    "gitlab": (ROOT / ".gitlab-ci.yml").read_text(encoding="utf-8"),
    "jenkins": (ROOT / "Jenkinsfile").read_text(encoding="utf-8"),
}
MAJORS = {"14", "16", "17", "18"}


def targets(text: str) -> set[str]:
    """Return the targets of make that a pipeline calls."""
    return set(re.findall(r"\bmake ([a-z][a-z-]*)", re.sub(r"(#|//).*", "", text)))


def unknown(text: str) -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return targets(text) - set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_calls_what_there_is(name: str) -> None:
    text = PIPELINES[name]
    assert unknown(text) == set()
    assert ".ci/run" in text
    assert targets(text) >= {"asvs", "chart", "contract", "image", "release", "sbom", "security"}
    assert set(re.findall(r"""["']([0-9]{2})["']""", text)) - {"30"} == MAJORS


def test_pipelines_do_the_same() -> None:
    assert len({frozenset(targets(text)) for text in PIPELINES.values()}) == 1


def test_a_target_that_is_not_there_is_found() -> None:
    assert unknown(PIPELINES["gitlab"].replace("make chart", "make charts")) == {"charts"}


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("actionlint", []),
        ("zizmor", ["--offline", "--quiet", ".github"]),
    ],
    ids=["actionlint", "zizmor"],
)
def test_the_linters_are_content(tool: str, arguments: list[str]) -> None:
    code, printed = output(program(tool), *arguments)
    assert code == 0, printed


@pytest.mark.parametrize(
    ("tool", "arguments", "old", "new", "said"),
    [
        ("actionlint", [], "runs-on: ubuntu-24.04", "runs_on: ubuntu-24.04", "runs_on"),
        ("actionlint", [], "${{ matrix.postgresql }}", "${{ matrix.postgres }}", "postgres"),
        ("zizmor", ["--offline"], 'PG="$POSTGRESQL"', 'PG="${{ github.head_ref }}"', "template-injection"),
        ("zizmor", ["--offline"], "        with:\n          persist-credentials: false\n", "", "artipacked"),
    ],
    ids=["unknown key", "unknown matrix", "injection", "credentials"],
)
def test_a_planted_mistake_is_found(  # noqa: PLR0913, PLR0917 a table
    tmp_path: Path, tool: str, arguments: list[str], old: str, new: str, said: str
) -> None:
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert old in text
    file = tmp_path / ".github" / "workflows" / "ci.yml"
    file.parent.mkdir(parents=True)
    file.write_text(text.replace(old, new), encoding="utf-8")
    code, printed = output(program(tool), *arguments, file)
    assert code != 0
    assert said in printed


def test_the_schemas_are_kept_and_find_a_mistake(bench: Bench) -> None:
    for path in GITHUB:
        assert bench.ask("conforms", document=_load(path), to="github-workflows") == []
    workflow = _load(ROOT / ".github/workflows/ci.yml")
    workflow["jobs"]["deploy"]["timeout"] = workflow["jobs"]["deploy"].pop("timeout-minutes")
    assert bench.ask("conforms", document=workflow, to="github-workflows") != []
    assert bench.ask("conforms", document=_load(ROOT / ".gitlab-ci.yml"), to="gitlab-ci") == []
    assert bench.ask("conforms", document={"job": {"scripts": ["make check"]}}, to="gitlab-ci") != []


def _load(path: Path) -> Any:
    """Read YAML as pipelines do, in which `on` is a word."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in document.items()}


def test_the_jenkinsfile_is_groovy(bench: Bench, tmp_path: Path) -> None:
    assert bench.ask("groovy", path=str(ROOT / "Jenkinsfile")) == []
    broken = tmp_path / "Jenkinsfile"
    broken.write_text(
        PIPELINES["jenkins"].replace("agent { label 'linux' }", "agent { label 'linux'"), "utf-8"
    )
    assert bench.ask("groovy", path=str(broken)) != []


def terraform(bench: Bench) -> dict[str, Any]:
    """Return what the files of the example say, together."""
    merged: dict[str, Any] = {}
    for path in sorted((DEPLOY / "terraform").glob("*.tf")):
        for key, blocks in bench.ask("terraform", path=str(path)).items():
            merged.setdefault(key, []).extend(blocks)
    return merged


def test_the_terraform_example_holds_together(bench: Bench) -> None:
    found = terraform(bench)
    text = "".join(path.read_text(encoding="utf-8") for path in (DEPLOY / "terraform").glob("*.tf"))
    variables = {name.strip('"'): body for block in found["variable"] for name, body in block.items()}
    assert set(re.findall(r"\bvar\.(\w+)", text)) == set(variables)
    assert all(body.get("description") and body.get("type") for body in variables.values())
    secret = {name for name, body in variables.items() if body.get("sensitive")}
    assert secret == {"jwt_secret", "database_url", "redis_url"}
    providers = found["terraform"][0]["required_providers"][0]
    assert all("version" in one for name, one in providers.items() if name in ("helm", "kubernetes"))
    (release,) = [
        block['"helm_release"']['"monohull"'] for block in found["resource"] if '"helm_release"' in block
    ]
    chart = release["chart"].strip('"').replace("${path.module}", str(DEPLOY / "terraform"))
    assert (DEPLOY / "terraform" / chart).resolve() == CHART
    assert not [
        name for name in secret if f"var.{name}" in str(release)
    ]  # they are not in the release's values


def test_the_terraform_examples_values_are_the_charts(bench: Bench) -> None:
    text = (DEPLOY / "terraform" / "main.tf").read_text(encoding="utf-8")
    body = text.partition("yamlencode({")[2].partition("})")[0]
    keys = re.findall(r"^\s+(\w+) +=", body, re.MULTILINE)
    assert keys == ["publicUrl", "image", "secrets", "ingress"]
    values = {
        "publicUrl": "https://api.example.com",
        "image": {"registry": "registry.example.com", "tag": ""},
        "secrets": {"existing": "monohull-secrets"},
        "ingress": {"enabled": True, "className": "", "host": "api.example.com"},
    }
    assert len(bench.render(values)) > 9
    # the keys of the Secret are those that the chart looks for
    for key in ("jwt-secret", "database-url", "redis-url"):
        assert f'"{key}"' in text
        assert key in (CHART / "values.yaml").read_text(encoding="utf-8")


def test_wrong_terraform_is_found(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text('resource "helm_release" "x" {\n  name = \n', encoding="utf-8")
    with pytest.raises(BenchError):
        bench.ask("terraform", path=str(tmp_path / "main.tf"))


def test_the_changelog_is_collected(tmp_path: Path) -> None:
    changes = tmp_path / "changes"
    changes.mkdir()
    (changes / "README.md").write_text("How.\n", encoding="utf-8")
    (changes / "3.fix.md").write_text("Mended.\n", encoding="utf-8")
    (changes / "12.feature.md").write_text("Later, see [it](../docs/x.md).\n", encoding="utf-8")
    (changes / "3.feature.md").write_text("First.\n", encoding="utf-8")
    log = tmp_path / "CHANGELOG.md"
    log.write_text(
        "# Changelog\n\nAll.\n\n## Unreleased\n\nOld words.\n\n## 0.1.0 (2026-01-01)\n\nOld.\n", "utf-8"
    )
    assert changelog.main(["collect"], tmp_path, "0.2.0") == 0
    text = log.read_text(encoding="utf-8")
    made = changelog.written(text, "0.2.0")
    assert made == "### New\n\nFirst.\n\nLater, see [it](docs/x.md).\n\n### Mended\n\nMended."
    assert changelog.written(text, "0.1.0") == "Old."
    assert "Old words" not in text
    assert [path.name for path in changes.iterdir()] == ["README.md"]
    assert changelog.main(["collect"], tmp_path, "0.2.0") == 2  # once


def test_notes_are_those_of_the_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "changes").mkdir()
    (tmp_path / "changes/1.feature.md").write_text("Waits.\n", encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text(
        "## Unreleased\n\n## 0.1.0 (2026-01-01)\n\nSaid.\n", encoding="utf-8"
    )
    assert changelog.main(["notes"], tmp_path, "0.1.0") == 0
    assert changelog.main(["notes"], tmp_path, "0.2.0") == 0
    assert capsys.readouterr().out == "Said.\n### New\n\nWaits.\n"
    assert changelog.main([], tmp_path, "0.2.0") == 2


def test_a_fragment_of_another_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "changes").mkdir()
    (tmp_path / "CHANGELOG.md").write_text("## Unreleased\n", encoding="utf-8")
    (tmp_path / "changes/1.fetaure.md").write_text("x\n", encoding="utf-8")
    assert changelog.main(["collect"], tmp_path, "0.2.0") == 2
    assert (tmp_path / "changes/1.fetaure.md").exists()


def test_our_fragments_can_be_collected() -> None:
    assert changelog.section(ROOT / "changes").startswith("### New")
