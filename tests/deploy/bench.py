"""The tools that check the deployment: Helm and others behind one pipe, the rest as programs."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
CHART: Final = DEPLOY / "helm" / "monohull"
TOOLS: Final = ROOT / ".venv-deploy" / "bin"
VALUES: Final = {path.stem: path for path in sorted((DEPLOY / "helm" / "values").glob("*.yaml"))}

Object: TypeAlias = dict[str, Any]


class BenchError(Exception):
    """What was asked for is refused; the text is Helm's, or the schema's."""


class Bench:
    """One process that renders and validates for the whole session."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [TOOLS / "python", ROOT / "tools" / "deploy" / "bench.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._rendered: dict[tuple[str, int], list[Object]] = {}

    def ask(self, do: str, **what: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise BenchError(answer["error"])
        return answer["result"]

    def render(self, values: dict[str, Any], *, revision: int = 1, chart: Path = CHART) -> list[Object]:
        """Return the objects of a release; revision 1 is an installation, others are upgrades."""
        texts = self.ask("render", chart=str(chart), values=values, revision=revision)
        manifests = (text for name, text in sorted(texts.items()) if name.endswith(".yaml"))
        return [one for text in manifests for one in yaml.safe_load_all(text) if one]

    def rendered(self, name: str, revision: int = 1) -> list[Object]:
        """Return a copy of the objects of one of the value sets that we ship."""
        if (name, revision) not in self._rendered:
            self._rendered[name, revision] = self.render(values_of(name), revision=revision)
        return copy.deepcopy(self._rendered[name, revision])

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.kill()  # it holds nothing that would be lost
        self._process.wait()


def values_of(name: str) -> dict[str, Any]:
    found = yaml.safe_load(VALUES[name].read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def program(name: str) -> Path:
    """Return a tool of `make install-deploy`, else skip; the pipelines install it."""
    if not (TOOLS / name).exists():
        pytest.skip(f"{name} is not installed here: make install-deploy")
    return TOOLS / name


def on_path(name: str, package: str) -> str:
    """Return a program of the machine, else skip."""
    if (found := shutil.which(name)) is None:
        pytest.skip(f"{name} is not installed here: apt-get install {package}")
    return found


def output(*command: str | Path, folder: Path = ROOT) -> tuple[int, str]:
    """Run a program; return its exit code and what it printed."""
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]


def name_of(one: Object) -> str:
    return f"{one['kind']}/{one['metadata']['name']}"
