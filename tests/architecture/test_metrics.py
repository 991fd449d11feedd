"""The catalogue: what is declared is used, named as the field names metrics, and the only thing there is."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from monohull.kernel import core_metrics
from monohull.kernel.core_metrics import CORE_METRICS
from monohull.kernel.metric import Metric, catalogue_of
from monohull.kernel.module import load_modules
from monohull.kernel.settings import BUILTIN_MODULES

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
LIBRARY_USERS = {"monohull/kernel/metrics.py", "monohull/kernel/scrape.py"}


@pytest.fixture(scope="module")
def catalogue() -> Mapping[str, Metric]:
    modules = load_modules(BUILTIN_MODULES)
    return catalogue_of((*CORE_METRICS, *(metric for module in modules for metric in module.metrics)))


def test_every_declaration_is_in_the_catalogue(catalogue: Mapping[str, Metric]) -> None:
    declared = {value.name for value in vars(core_metrics).values() if isinstance(value, Metric)}
    spelled = {
        name
        for path in SOURCE.rglob("*metrics.py")
        for name in re.findall(r'(?:counter|gauge|histogram)\(\s*"(monohull_\w+)"', path.read_text("utf-8"))
    }
    assert declared | spelled == set(catalogue)


def test_nobody_else_declares_one() -> None:
    users = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if "prometheus_client" in path.read_text("utf-8")
    }
    assert users == LIBRARY_USERS


def test_every_declaration_is_used() -> None:
    """A number that nobody counts would be a hole in a dashboard."""
    unused = []
    for path in SOURCE.rglob("*metrics.py"):
        if path.parent.name != "kernel" or path.name == "core_metrics.py":
            text = path.read_text("utf-8")
            names = [
                node.target.id
                for node in ast.parse(text).body
                if isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and isinstance(node.value, ast.Call)
            ]
            room = "".join(p.read_text("utf-8") for p in path.parent.rglob("*.py") if p != path)
            unused += [f"{path.parent.name}.{name}" for name in names if not re.search(rf"\b{name}\b", room)]
    assert unused == []


def test_promtool_finds_nothing_to_say(catalogue: Mapping[str, Metric]) -> None:
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("promtool is not installed (on Debian: apt-get install prometheus)")
    lines = []
    for metric in catalogue.values():
        lines += [f"# HELP {metric.name} {metric.meaning}", f"# TYPE {metric.name} {metric.kind}"]
        labels = ",".join(f'{label}="x"' for label in metric.labels)
        if metric.kind == "histogram":
            bucket = ",".join(filter(None, (labels, 'le="+Inf"')))
            lines += [f"{metric.name}_bucket{{{bucket}}} 1"]
            lines += [f"{metric.name}_{end}{{{labels}}} 1" for end in ("count", "sum")]
        else:
            lines.append(f"{metric.name}{{{labels}}} 1")
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
