from __future__ import annotations

from typing import Any

import pytest

from modules.auth.claims import Filter, parse_path, walk

CLAIMS: dict[str, Any] = {
    "role": "writer",
    "app_metadata": {"roles": ["admin", "member"], "role": {"name": "deep"}},
    "https://example.com/role": "spaced",
    "realm-access": ["a", 7, "web-user"],
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".role", "writer"),
        (".app_metadata.roles[0]", "admin"),
        (".app_metadata.roles[1]", "member"),
        (".app_metadata.roles[2]", None),
        (".app_metadata.role.name", "deep"),
        ('."https://example.com/role"', "spaced"),
        (".realm-access[1]", 7),
        ('.realm-access[?(@ == "a")]', "a"),
        ('.realm-access[?(@ != "a")]', "web-user"),
        ('.realm-access[?(@ ^== "web")]', "web-user"),
        ('.realm-access[?(@ ==^ "user")]', "web-user"),
        ('.realm-access[?(@ *== "b-u")]', "web-user"),
        ('.realm-access[?(@ == "z")]', None),
        ('.role[?(@ == "a")]', None),
        (".role[0]", None),
        (".role.name", None),
        (".nothing.at.all", None),
    ],
)
def test_walk(path: str, found: object) -> None:
    assert walk(parse_path(path), CLAIMS) == found


def test_steps() -> None:
    assert parse_path('.a[0][?(@ ==^ "x")]') == ("a", 0, Filter("==^", "x"))


@pytest.mark.parametrize(
    ("path", "column"),
    [
        ("", 1),
        ("role", 1),
        (".", 1),
        (".role.", 6),
        (".role[x]", 6),
        (".role[-1]", 6),
        ('."x', 1),
        (".a b", 3),
    ],
)
def test_a_path_that_cannot_be_read_names_the_column(path: str, column: int) -> None:
    with pytest.raises(ValueError, match=rf"column {column}\b"):
        parse_path(path)
