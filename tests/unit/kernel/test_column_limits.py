"""What several roles leave of a relation together."""

from __future__ import annotations

import pytest

from monohull.kernel.column_limits import ColumnLimits, ColumnRule, RoleRule, narrowed, united


def rule(role: str, reads: list[str] | None, writes: list[str] | None = None, of: str = "t") -> RoleRule:
    return RoleRule(role, "public", of, reads, writes)


def left(limits: ColumnLimits | None, relation: str = "t") -> tuple[object, object] | None:
    found = None if limits is None else limits.of("public", relation)
    return None if found is None else (found.reads, found.writes)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], None),
        ([rule("a", ["id"], ["id"])], ({"id"}, {"id"})),
        ([rule("a", ["id"]), rule("b", ["name"], ["x"])], ({"id", "name"}, {"x"})),
        ([rule("a", ["id"], ["id"]), rule("b", ["*"], ["*"])], None),
        ([rule("a", ["id"], ["id"]), rule("b", ["*"])], (None, {"id"})),
        ([rule("a", [], [])], (set(), set())),
        ([rule("a", ["id"]), rule("b", ["*"], of="other")], ({"id"}, None)),
    ],
    ids=["none", "one", "two", "all", "all to read", "nothing", "another relation"],
)
def test_roles_unite(rules: list[RoleRule], expected: tuple[object, object] | None) -> None:
    assert left(united(rules)) == expected


def test_limits_of_the_same_rules_are_equal_in_any_order() -> None:
    rules = [rule("a", ["id", "name"]), rule("b", ["x"], of="u"), rule("c", ["y"])]
    one, other = united(rules), united(reversed(rules))
    assert one == other
    assert hash(one) == hash(other)
    assert one is not None
    assert [found.roles for found in one.rules] == [("a", "c"), ("b",)]


def test_a_key_and_its_user_leave_what_both_leave() -> None:
    key = united([rule("k", ["id", "name"], ["id"]), rule("k", ["a"], of="u")])
    user = united([rule("o", ["id", "iban"]), rule("o", ["b"], of="v")])
    both = narrowed(key, user)
    assert left(both) == ({"id"}, {"id"})
    assert (left(both, "u"), left(both, "v")) == (({"a"}, None), ({"b"}, None))
    assert narrowed(None, user) is user
    assert narrowed(key, None) is key
    assert narrowed(None, None) is None


def test_what_is_not_listed_is_hidden() -> None:
    found = ColumnRule("public", "t", frozenset({"id"}), None)
    assert (found.shows("id"), found.shows("new"), found.takes("new")) == (True, False, True)
