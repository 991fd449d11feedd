"""Which pattern grants which permission, and that names are checked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monohull.kernel.permissions import Permission, PermissionRegistry, UnknownPermission, grants

WORD = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
PATH = st.lists(WORD, min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("held", "wanted", "granted"),
    [
        ("*", "storage.objects:write", True),
        ("storage.*", "storage.objects:write", True),
        ("storage.objects.*", "storage.objects:write", True),
        ("storage.objects:*", "storage.objects:write", True),
        ("storage.objects:write", "storage.objects:write", True),
        ("storage.objects:read", "storage.objects:write", False),
        ("storage:*", "storage.objects:write", False),
        ("storage", "storage.objects:write", False),
        ("stor.*", "storage.objects:write", False),
        ("storage.obj*", "storage.objects:write", False),
        ("storage.objects.versions.*", "storage.objects:write", False),
        ("*:write", "storage.objects:write", False),
        ("", "storage.objects:write", False),
    ],
)
def test_patterns(held: str, wanted: str, granted: bool) -> None:
    assert grants(frozenset({held}), wanted) is granted
    assert not grants(frozenset(), wanted)


@given(PATH, WORD, PATH, WORD)
def test_an_area_grants_what_lies_in_it_and_nothing_else(
    area: list[str], verb: str, other: list[str], other_verb: str
) -> None:
    pattern = frozenset({".".join(area) + ".*"})
    wanted = ".".join(other) + f":{other_verb}"
    assert grants(pattern, ".".join(area) + f":{verb}")
    assert grants(pattern, wanted) is (other[: len(area)] == area)


class TestRegistry:
    def test_in_alphabetical_order(self) -> None:
        registry = PermissionRegistry([Permission("b.x:y", "B."), Permission("a.x:y", "A.")])
        assert [permission.name for permission in registry] == ["a.x:y", "b.x:y"]
        assert len(registry) == 2
        assert registry.require("a.x:y").summary == "A."

    def test_a_name_that_nobody_registered(self) -> None:
        with pytest.raises(UnknownPermission, match=r"no module registers the permission 'a\.x:z'"):
            PermissionRegistry([Permission("a.x:y", "A.")]).require("a.x:z")

    def test_the_same_again_is_no_fault_and_another_is(self) -> None:
        registry = PermissionRegistry([Permission("a.x:y", "A."), Permission("a.x:y", "A.")])
        with pytest.raises(ValueError, match="registered twice"):
            registry.add(Permission("a.x:y", "Something else."))

    @pytest.mark.parametrize(
        "name", ["", "a", "a.b", "a.b:", ":b", "A.b:c", "a b:c", "a..b:c", "a.b:*", "a:b:c"]
    )
    def test_a_name_of_another_form(self, name: str) -> None:
        with pytest.raises(ValueError, match="not of the form"):
            PermissionRegistry([Permission(name, "X.")])
