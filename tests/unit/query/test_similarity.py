from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.query.similarity import most_similar, rank


@pytest.mark.parametrize(
    ("name", "names", "expected"),
    [
        ("projectx", ["projects", "clients"], "projects"),
        ("projecxx", ["projects", "clients"], "projects"),
        ("faketable", ["projects", "clients"], None),
        ("PROJECTS", ["projects"], "projects"),
        ("a" * 500, ["a" * 501], None),
        ("ab", ["abc"], None),
    ],
)
def test_table_names_need_three_quarters(name: str, names: list[str], expected: str | None) -> None:
    assert most_similar(name, names, min_score=0.75) == expected


@given(st.text(max_size=40), st.lists(st.text(max_size=40), max_size=10))
def test_scores_are_shares_best_first(name: str, names: list[str]) -> None:
    scores = [score for score, _ in rank(name, names)]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)
