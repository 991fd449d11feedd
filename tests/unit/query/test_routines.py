"""Which function a call means, and what is said when it means none or several."""

# a row of a table is read best on one line
# ruff: noqa: E501
from __future__ import annotations

import pytest

from modules.query.errors import RoutineAmbiguous, RoutineNotFound
from modules.query.routines import Parameter, Routine, find_routine, ordered


def routine(name: str, parameters: str = "", *, defaults: str = "", variadic: str = "") -> Routine:
    """``parameters`` as ``a:integer b:text``; an underscore stands for no name."""
    pairs = (one.split(":") for one in parameters.split())
    return Routine(
        "public",
        name,
        tuple(
            Parameter(
                name.strip("_"), type_, is_required=name not in defaults.split(), is_variadic=name == variadic
            )
            for name, type_ in pairs
        ),
    )


def routines(*found: Routine) -> dict[tuple[str, str], tuple[Routine, ...]]:
    by_key: dict[tuple[str, str], list[Routine]] = {}
    for one in found:
        by_key.setdefault(one.key, []).append(one)
    return {key: ordered(overloads) for key, overloads in by_key.items()}


KNOWN = routines(
    routine("add", "a:integer b:integer"),
    routine("add", "a:integer b:integer c:integer", defaults="c"),
    routine("greet", "name:text greeting:text", defaults="greeting"),
    routine("now_there"),
    routine("store", "_:json"),
    routine("store", "_:text"),
    routine("store", "_:bytea"),
    routine("store"),
    routine("both", "_:json"),
    routine("both", "_:jsonb"),
)


@pytest.mark.parametrize(
    ("name", "given", "content", "parameters"),
    [
        ("add", "a b c", "none", ["a", "b", "c"]),
        ("greet", "name", "none", ["name", "greeting"]),
        ("greet", "greeting name", "json", ["name", "greeting"]),
        ("now_there", "", "none", []),
        ("now_there", "", "json", []),
        ("store", "", "json", []),
        ("store", "x y", "json", [""]),
        ("store", "", "text", [""]),
        ("store", "", "octets", [""]),
    ],
)
def test_found(name: str, given: str, content: str, parameters: list[str]) -> None:
    found = find_routine(KNOWN, ("public", name), frozenset(given.split()), content)  # type: ignore[arg-type]
    assert [one.name for one in found.parameters] == parameters


@pytest.mark.parametrize(
    ("name", "given", "content", "message", "details", "hint"),
    [
        ("greet", "nam", "none", "public.greet(nam)", "public.greet with parameter nam", None),
        ("add", "b a x", "none", "public.add(a, b, x)", "public.add with parameters a, b, x", "public.add(a, b, c)"),
        ("now_ther", "", "none", "public.now_ther without parameters", "public.now_ther without parameters", "public.now_there"),
        ("nothing", "", "json", "public.nothing without parameters", "public.nothing without parameters or with a single unnamed json/jsonb parameter", None),
        ("greet", "", "text", "public.greet", "public.greet with a single unnamed text parameter", None),
        ("greet", "", "xml", "public.greet", "public.greet with a single unnamed xml parameter", None),
        ("now_there", "", "octets", "public.now_there", "public.now_there with a single unnamed bytea parameter", None),
    ],
)  # fmt: skip
def test_not_found(  # noqa: PLR0913, PLR0917 a row of the table
    name: str, given: str, content: str, message: str, details: str, hint: str | None
) -> None:
    with pytest.raises(RoutineNotFound) as refused:
        find_routine(KNOWN, ("public", name), frozenset(given.split()), content)  # type: ignore[arg-type]
    problem = refused.value
    assert (problem.code, problem.status) == ("PGRST202", 404)
    assert problem.message == f"Could not find the function {message} in the schema cache"
    assert (
        problem.details
        == f"Searched for the function {details}, but no matches were found in the schema cache."
    )
    assert problem.hint == (f"Perhaps you meant to call the function {hint}" if hint else None)


def test_one_argument_without_a_name() -> None:
    with pytest.raises(RoutineNotFound, match=r"function public\.add\(\) in"):
        find_routine(KNOWN, ("public", "add"), frozenset({""}), "none")


@pytest.mark.parametrize(
    ("name", "given", "listed"),
    [
        ("add", "a b", "public.add(a => integer, b => integer), public.add(a => integer, b => integer, c => integer)"),
        ("both", "x", "public.both( => json), public.both( => jsonb)"),
    ],
)  # fmt: skip
def test_ambiguous(name: str, given: str, listed: str) -> None:
    with pytest.raises(RoutineAmbiguous) as refused:
        find_routine(KNOWN, ("public", name), frozenset(given.split()), "json")
    assert refused.value.status == 300
    assert refused.value.message == f"Could not choose the best candidate function between: {listed}"


def test_types_that_would_cut_an_argument() -> None:
    assert [Parameter("a", type_).cast for type_ in ("bit", "character[]", "text")] == [
        "bit varying",
        "character varying[]",
        "text",
    ]
