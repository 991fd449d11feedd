"""Refusals are data: code, status, hint, and one rendering."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monohull.kernel import errors
from monohull.kernel.errors import (
    DatabaseUnavailable,
    InternalError,
    InvalidCredential,
    NotFound,
    Problem,
    Unavailable,
    problem_classes,
    render_problem,
)

KERNEL = [kind for kind in problem_classes() if kind.__module__ == errors.__name__]


def decoded(problem: Problem, **context: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(render_problem(problem, **context).body)
    return found


@pytest.mark.parametrize("kind", KERNEL, ids=lambda kind: kind.__name__)
def test_each_refusal_has_a_code_a_status_and_a_sentence(kind: type[Problem]) -> None:
    assert re.fullmatch(r"[a-z][a-z_]*", kind.code)
    assert 400 <= kind.status <= 599
    assert (kind.__doc__ or "").strip()
    assert f"{kind.__name__}" in (errors.__doc__ or ""), "the tree in the module's docstring is complete"


def test_no_two_refusals_share_a_code() -> None:
    codes = [kind.code for kind in KERNEL]
    assert len(set(codes)) == len(codes) >= 20


def test_the_walk_reaches_grandchildren() -> None:
    assert {Unavailable, DatabaseUnavailable} <= set(problem_classes())
    assert set(problem_classes(Unavailable)) >= {DatabaseUnavailable}
    assert Unavailable not in set(problem_classes(Unavailable))


def test_a_class_that_forgot_its_status_cannot_be_raised() -> None:
    with pytest.raises(TypeError, match="Problem declares no code and status"):
        raise Problem("x")


class TestRendering:
    def test_rfc_9457_with_our_members(self) -> None:
        problem = NotFound("There is no such key.", details="id 7", hint="List them.")
        rendered = render_problem(problem, request_id="r1", instance="/platform/v1/keys/7")
        assert (rendered.status, rendered.media_type) == (404, "application/problem+json")
        assert msgspec.json.decode(rendered.body) == {
            "type": "urn:monohull:problem:not_found",
            "title": "Not Found",
            "status": 404,
            "code": "not_found",
            "detail": "There is no such key.",
            "details": "id 7",
            "hint": "List them.",
            "instance": "/platform/v1/keys/7",
            "request_id": "r1",
        }

    def test_what_is_not_known_is_left_away(self) -> None:
        assert set(decoded(NotFound("x"))) == {"type", "title", "status", "code", "detail"}

    def test_the_class_has_the_hint_unless_it_is_given(self) -> None:
        assert decoded(InternalError("x"))["hint"] == "Quote the request id when you report this."
        assert decoded(InternalError("x", hint="Other."))["hint"] == "Other."
        assert InternalError("y").hint == "Quote the request id when you report this."

    @given(st.text(st.characters(codec=None)))
    def test_any_text_can_be_written(self, text: str) -> None:
        assert "detail" in decoded(NotFound(text, details=text))


def test_away_for_now_says_when_to_come_back() -> None:
    problem = DatabaseUnavailable("The database does not answer.", retry_after_seconds=5)
    assert render_problem(problem).headers == {"Retry-After": "5"}


class TestInvalidCredential:
    def test_it_says_why_to_wires_and_clients(self) -> None:
        problem = InvalidCredential("The token has expired.", reason="expired")
        assert problem.reason == "expired"
        assert problem.headers["WWW-Authenticate"] == (
            'Bearer error="invalid_token", error_description="The token has expired."'
        )

    @given(st.text(st.characters(codec=None)))
    def test_no_message_breaks_out_of_its_header(self, message: str) -> None:
        header = InvalidCredential(message, reason="claims").headers["WWW-Authenticate"]
        inner = header.removeprefix('Bearer error="invalid_token", error_description="').removesuffix('"')
        assert len(inner) == len(message)
        assert all(" " <= c <= "~" and c not in '"\\' for c in inner)
