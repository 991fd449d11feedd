from __future__ import annotations

import re
from fnmatch import fnmatchcase
from random import Random

import pytest

from modules.policy_tests.patterns import like, matching

PATTERNS = [
    "^[A-Z]{2}$",
    "^[A-Z0-9-]{4,32}$",
    r"^\+[0-9]{8,15}$",
    r"^\d{3}-\d{4}$",
    "^(red|green|blue)$",
    "^(?:a|bc)+x?y*z$",
    r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$",
    "^[[:alpha:]_][[:alnum:]_]*$",
    "^[]a]+$",
    r"^a\.b\\c$",
    "^v[0-9]+(\\.[0-9]+){2}$",
    "^.{3,5}$",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_made_matches(pattern: str) -> None:
    python = pattern.replace("[:alpha:]", "a-zA-Z").replace("[:alnum:]", "a-zA-Z0-9")
    for seed in range(200):
        text = matching(pattern, Random(seed))
        assert re.search(python, text), text


def test_two_people_get_two_texts() -> None:
    assert matching("^[A-Z0-9]{8}$", Random(1)) != matching("^[A-Z0-9]{8}$", Random(2))


@pytest.mark.parametrize("pattern", ["(?=a)b", "(a", "a)", "[a", "a{2"])
def test_what_is_not_understood_is_no_candidate(pattern: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 the caller takes any
        matching(pattern, Random(1))


@pytest.mark.parametrize("pattern", ["%_@_%", "Dear %", "_x_", "100\\%"])
def test_like(pattern: str) -> None:
    glob = pattern.replace("\\%", "\0").replace("%", "*").replace("_", "?").replace("\0", "%")
    assert fnmatchcase(like(pattern, Random(1)), glob)
