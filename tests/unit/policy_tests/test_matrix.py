from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from modules.policy_tests.differences import compare
from modules.policy_tests.errors import BadDeclaration
from modules.policy_tests.matrix import CallerLine, Entry, Matrix, read, write
from modules.policy_tests.people import overlaid, person_claims
from modules.policy_tests.project import read_declaration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OWN = {"select": "allow", "insert": "refused"}
NOTES = Entry(
    row_security="on",
    whose=("owner_id",),
    grants={"authenticated": "select, insert"},
    policies={'say "hi"': "select to authenticated using (owner_id = auth.uid())"},
    cells={"authenticated": {"own": OWN, "own, is_active = false": OWN, "stranger": {"select": "hidden"}}},
)
MATRIX = Matrix(
    callers={"authenticated": CallerLine("authenticated", {"app_metadata": {"roles": ["a"], "x": True}})},
    tables={
        "public.notes": NOTES,
        "public.Odd \n name": Entry(row_security="off", left_out="it's\tgenerated"),
    },
)


def with_notes(**changes: Any) -> Matrix:
    return replace(MATRIX, tables={**MATRIX.tables, "public.notes": replace(NOTES, **changes)})


def cells(stranger: str) -> Mapping[str, Any]:
    rows = {**NOTES.cells["authenticated"], "stranger": {"select": stranger}}
    return {"authenticated": rows}


@pytest.mark.parametrize("name", ["policies.toml", "policies.json"])
def test_a_file_says_what_was_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(write(MATRIX, path), encoding="utf-8")
    assert read(path) == MATRIX
    assert compare(MATRIX, read(path)) == []


@pytest.mark.parametrize("text", ["", "format = 1", "format = 2\ncallers = {}\ntables = {}", "=", "\xff"])
def test_what_is_no_matrix_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policies.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadDeclaration, match=r"policies\.toml"):
        read(path)
    with pytest.raises(BadDeclaration, match="monohull policy matrix"):
        read(tmp_path / "absent.toml")


def test_a_changed_cell_names_the_policy_that_is_gone() -> None:
    (found,) = compare(MATRIX, with_notes(policies={}, cells=cells("allow")))
    assert found.text.splitlines() == [
        "public.notes: authenticated · stranger · select: hidden → allow",
        '    policy "say "hi"" is gone: select to authenticated using (owner_id = auth.uid())',
    ]


def test_a_changed_cell_names_the_grant() -> None:
    before = with_notes(grants={}, cells=cells("no grant"))
    cell, grants = compare(before, MATRIX)
    assert cell.causes == ("grants of authenticated: none → select, insert",)
    assert grants.text == "public.notes: grants of authenticated: none → select, insert"


def test_a_changed_cell_names_what_changed_elsewhere() -> None:
    other = Entry(row_security="on", policies={"p": "select to authenticated using true"})
    before = replace(MATRIX, tables={**MATRIX.tables, "public.teams": other})
    now = with_notes(cells=cells("allow"))
    now = replace(now, tables={**now.tables, "public.teams": replace(other, policies={})})
    found = compare(before, now)
    assert found[0].causes == ('of public.teams: policy "p" is gone: select to authenticated using true',)
    assert found[1].text == 'public.teams: policy "p" (no cell changed): in the file → gone'


def test_the_words_of_a_policy_alone_are_no_difference() -> None:
    """Majors of PostgreSQL print one policy differently."""
    assert compare(MATRIX, with_notes(policies={'say "hi"': "printed otherwise"})) == []


def test_tables_callers_and_switches_are_compared() -> None:
    now = replace(with_notes(row_security="off"), callers={})
    texts = [difference.text for difference in compare(MATRIX, now)]
    assert texts[0].startswith("caller authenticated: ")
    assert "public.notes: row security: on → off" in texts
    del now.tables["public.notes"]
    assert "public.notes: the table: in the file → gone" in [d.text for d in compare(MATRIX, now)]
    assert "public.notes: the table: not in the file → in the database" in [
        d.text for d in compare(now, MATRIX)
    ]


def test_claims_are_laid_over_each_other() -> None:
    person = person_claims(0, {("app_metadata", "club"): "7", ("teams",): "8"}, {("teams",)})
    assert person["app_metadata"] == {"club": "7"}
    assert person["teams"] == ["8"]
    assert overlaid(person, {"app_metadata": {"role": "x"}})["app_metadata"] == {"club": "7", "role": "x"}


@pytest.mark.parametrize(
    "table",
    [
        {"unknown": 1},
        {"callers": [{"name": "anon"}]},
        {"callers": [{"name": "a"}, {"name": "a"}]},
        {"callers": [{}]},
        {"tables": {"public.notes": {"owner": 1}}},
    ],
    ids=range(5),
)
def test_what_the_project_states_is_checked(table: Mapping[str, Any]) -> None:
    with pytest.raises(BadDeclaration, match=r"\[policies\] in monohull\.toml"):
        read_declaration({"policies": table})
