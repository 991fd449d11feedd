"""Names of data permissions: each thing has its own, and patterns reach what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monohull.kernel.data_permissions import (
    DATA,
    VERBS,
    Named,
    Verb,
    is_data_permission,
    named_in,
    relation_permissions,
    routine_permissions,
    written,
)
from monohull.kernel.permissions import PermissionRegistry, grants

NAME = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
TRICKY = st.sampled_from(["rpc", "data", "public", "a.b", "a:read", "*", "%2E", "a%2Eb", "a b", "read", "B"])
ANY = NAME | TRICKY
VERB: st.SearchStrategy[Verb] = st.sampled_from(VERBS)


@given(ANY, ANY, VERB)
def test_every_name_is_one_of_the_family_and_says_what_it_names(schema: str, name: str, verb: Verb) -> None:
    for text in relation_permissions(schema, name, verb, first="public"):
        assert is_data_permission(text)
    assert named_in(relation_permissions(schema, name, verb, first="other")[-1]) == Named(schema, name, False)
    assert named_in(routine_permissions(schema, name, first="other")[-1]) == Named(schema, name, True)


@given(ANY, ANY, VERB, ANY, ANY, VERB)
def test_a_permission_reaches_one_thing_only(  # noqa: PLR0913, PLR0917 two of three
    schema: str, name: str, verb: Verb, other_schema: str, other_name: str, other_verb: Verb
) -> None:
    held = relation_permissions(schema, name, verb, first="public")[-1]
    wanted = relation_permissions(other_schema, other_name, other_verb, first="public")
    reached = any(grants(frozenset({held}), text) for text in wanted)
    assert reached is ((schema, name, verb) == (other_schema, other_name, other_verb))


@given(ANY, ANY, ANY, ANY)
def test_a_function_and_a_relation_are_never_the_same(schema: str, name: str, other: str, more: str) -> None:
    call = routine_permissions(schema, name, first="public")
    for verb in VERBS:
        for held in relation_permissions(other, more, verb, first="public"):
            assert not any(grants(frozenset({held}), text) for text in call)


@given(ANY, ANY, ANY, VERB)
def test_the_pattern_of_a_schema_reaches_what_is_in_it(
    schema: str, name: str, other: str, verb: Verb
) -> None:
    pattern = frozenset({f"data.{written(schema)}.*"})
    inside = relation_permissions(schema, name, verb, first="first")
    outside = relation_permissions(other, name, verb, first="first")
    assert any(grants(pattern, text) for text in inside)
    assert any(grants(pattern, text) for text in routine_permissions(schema, name, first="first"))
    reached = any(grants(pattern, text) for text in outside)
    # the relation of the first schema that is called like the schema: said in the module
    assert reached is (schema == other or (other == "first" and schema == name))


@given(ANY, ANY, VERB)
def test_wide_patterns_reach_everything(schema: str, name: str, verb: Verb) -> None:
    wanted = relation_permissions(schema, name, verb, first="public")
    for pattern in ("*", "data.*"):
        assert any(grants(frozenset({pattern}), text) for text in wanted)
    assert any(grants(frozenset({wanted[0].rpartition(":")[0] + ":*"}), text) for text in wanted)
    assert not any(grants(frozenset({"data.rpc.*"}), text) for text in wanted) or "rpc" in (schema, name)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("data.*", True),
        ("data.orders:read", True),
        ("data.orders:*", True),
        ("data.billing.orders:delete", True),
        ("data.billing.*", True),
        ("data.rpc.total:call", True),
        ("data.rpc.*", True),
        ("data.billing.rpc.*", True),
        ("data.Größe:read", True),
        ("data.my%2Etable:read", True),
        ("data.orders:reed", False),
        ("data.orders:call", False),
        ("data.rpc.total:read:x", False),
        ("data.orders", False),
        ("data:*", False),
        ("data.:read", False),
        ("data.a.b.c:read", False),
        ("data.my table:read", False),
        ("data.my%2etable:read", False),
        ("data.*:read", False),
        ("data.orders:", False),
        ("data", False),
        ("", False),
        ("datas.orders:read", False),
        ("data.orders:read\n", False),
    ],
)
def test_typing_errors_are_known_as_such(text: str, known: bool) -> None:
    assert is_data_permission(text) is known
    assert PermissionRegistry(families=[DATA]).knows(text) is known
    assert not PermissionRegistry().knows(text)
