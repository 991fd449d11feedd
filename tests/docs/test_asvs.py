"""The table of OWASP's ASVS is whole, its page is current, and its tests exist."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tools.security import asvs
from tools.security.places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

ITEMS = asvs.read()
NAMED = """
4.1.1 4.1.3 4.1.4 4.2.1 4.3.1 4.3.2 4.4.1 4.4.2 4.4.3 4.4.4 5.2.1 5.2.2 5.2.3 5.2.4 5.2.6 5.3.2
5.4.2 5.4.3 6.1.1 6.2.1 6.2.4 6.2.9 6.2.12 6.3.1 6.3.2 6.3.3 6.3.7 6.3.8 6.4.3 6.5.1 6.5.2 6.6.3
6.8.1 6.8.3 7.2.4 7.3.1 7.3.2 7.4.1 7.4.2 7.4.3 7.4.5 7.5.1 7.5.2 8.2.1 8.2.2 8.2.3 8.3.1 8.3.2
8.3.3 8.4.1 8.4.2 9.1.1 9.1.2 9.1.3 9.2.1 9.2.2 9.2.3 9.2.4 11.1.1 11.1.2 11.3.1 11.3.2 11.3.4
11.4.2 13.1.2 13.2.3 13.2.4 13.2.5 13.3.1 13.3.4 13.4.2 13.4.5 13.4.6 16.1.1 16.2.1 16.2.5 16.3.1
16.3.2 16.4.1 16.4.2 16.4.3 16.5.1 16.5.2 16.5.3 16.5.4
"""
"""What this product must show tests for."""


def test_the_table_is_whole() -> None:
    assert asvs.faults(ITEMS) == []
    assert set(NAMED.split()) <= {item.id for item in ITEMS}
    assert asvs.PAGE.read_text(encoding="utf-8") == asvs.page(ITEMS)


def test_the_files_of_its_tests_are_there_and_define_them() -> None:
    """Collecting them all takes minutes, which `make asvs` does; a look at the text takes none."""
    absent = []
    for item in ITEMS:
        for test in item.tests:
            file, *_, name = test.split("::")
            path = ROOT / file
            if not path.is_file() or f"def {name}(" not in path.read_text(encoding="utf-8"):
                absent.append(f"{item.id}: {test}")
    assert absent == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"state": "done"}, "is no state"),
        ({"tests": ()}, "names no test"),
        ({"state": "not met", "why": ""}, "does not say why"),
        ({"level": 4}, "no such level"),
    ],
)
def test_a_planted_mistake_is_found(change: dict[str, object], said: str) -> None:
    met = next(item for item in ITEMS if item.state == "met")
    (fault,) = asvs.faults([replace(met, **change)])
    assert said in fault
    assert asvs.faults([met, met]) == [f"{met.id} stands 2 times"]


def test_a_test_that_is_not_there_is_found() -> None:
    item = asvs.Item(
        id="1.1.1",
        level=1,
        state="met",
        what="",
        tests=(
            "tests/docs/test_asvs.py::test_the_table_is_whole",
            "tests/docs/test_asvs.py::test_of_nothing",
            "tests/docs/no_file.py::test_of_nothing",
        ),
    )
    assert asvs.missing([item]) == [
        "1.1.1: there is no test tests/docs/no_file.py::test_of_nothing",
        "1.1.1: there is no test tests/docs/test_asvs.py::test_of_nothing",
    ]


def test_it_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(
        '[[item]]\nid = "6.10.1"\nlevel = 2\nstate = "met"\nwhat = "b"\ntests = ["t"]\n'
        '[[item]]\nid = "6.2.1"\nlevel = 1\nstate = "not met"\nwhat = "a"\nwhy = "c"\n',
        encoding="utf-8",
    )
    items = asvs.read(file)
    assert [item.id for item in items] == ["6.2.1", "6.10.1"]
    assert asvs.count(items) == {(2, "met"): 1, (1, "not met"): 1}


def test_the_threat_model_names_tests_that_there_are() -> None:
    text = (ROOT / "docs/explanation/threat-model.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", text)
    assert len(named) > 40
    absent = [
        f"{file}::{test}"
        for file, test in named
        if not (path := ROOT / file).is_file()
        or f"def {test.rpartition(':')[2]}(" not in path.read_text(encoding="utf-8")
    ]
    assert absent == []
