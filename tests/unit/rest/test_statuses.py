"""The wire's table of errors: which status a code has, PostgREST's and PostgreSQL's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

import modules.query.errors
import modules.rest.errors
import modules.rest.guc
import modules.rest.raised
from modules.rest.errors import render_rest_problem, status_of, wire_code
from monohull.kernel.errors import (
    DatabaseUnavailable,
    InternalError,
    InvalidCredential,
    PoolExhausted,
    Problem,
    Unauthenticated,
)

if TYPE_CHECKING:
    from types import ModuleType

CODES: Final = {
    "PGRST002": 503,
    "PGRST100": 400,
    "PGRST101": 405,
    "PGRST102": 400,
    "PGRST103": 416,
    "PGRST105": 405,
    "PGRST106": 406,
    "PGRST107": 406,
    "PGRST108": 400,
    "PGRST111": 500,
    "PGRST112": 500,
    "PGRST114": 400,
    "PGRST115": 400,
    "PGRST116": 406,
    "PGRST117": 405,
    "PGRST118": 400,
    "PGRST120": 400,
    "PGRST121": 500,
    "PGRST122": 400,
    "PGRST123": 400,
    "PGRST124": 400,
    "PGRST125": 404,
    "PGRST126": 404,
    "PGRST127": 400,
    "PGRST128": 400,
    "PGRST200": 400,
    "PGRST201": 300,
    "PGRST202": 404,
    "PGRST203": 300,
    "PGRST204": 400,
    "PGRST205": 404,
}
"""Codes that have a class of their own here."""

STATES: Final = {
    "08": 503,
    "09": 500,
    "0L": 403,
    "0P": 403,
    "23503": 409,
    "23505": 409,
    "25": 500,
    "25006": 405,
    "28": 403,
    "2D": 500,
    "38": 500,
    "39": 500,
    "3B": 500,
    "40": 500,
    "42501": 403,
    "42883": 404,
    "42P01": 404,
    "42P17": 500,
    "53": 503,
    "53400": 500,
    "54": 500,
    "55": 500,
    "57": 500,
    "58": 500,
    "F0": 500,
    "HV": 500,
    "P0": 500,
    "P0001": 400,
    "XX": 500,
}
"""SQLSTATEs, and classes of them; everything else is 400."""

OTHERS: Final = ("01000", "02000", "0A000", "0Z000", "20000", "22000", "22P02", "23502", "23514", "24000")
OTHERS_TOO: Final = ("26000", "34000", "3D000", "3F000", "42000", "42601", "42703", "44000", "45000", "ABCDE")


def problems(module: ModuleType) -> dict[str, int]:
    return {
        kind.code: kind.status
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Problem) and kind.__module__ == module.__name__
        if hasattr(kind, "code") and kind.code.startswith("PGRST")
    }


def test_codes_have_the_status_of_the_table() -> None:
    found = {
        code: status
        for module in (modules.query.errors, modules.rest.errors, modules.rest.guc, modules.rest.raised)
        for code, status in problems(module).items()
    }
    assert found == CODES


@pytest.mark.parametrize(
    ("problem", "code", "status"),
    [
        (DatabaseUnavailable("m"), "PGRST001", 503),
        (PoolExhausted("m"), "PGRST003", 504),
        (InvalidCredential("m", reason="signature"), "PGRST301", 401),
        (Unauthenticated("m"), "PGRST302", 401),
        (InvalidCredential("m", reason="expired"), "PGRST303", 401),
        (InternalError("m"), "PGRSTX00", 500),
    ],
)
def test_what_all_wires_share_has_a_code_here(problem: Problem, code: str, status: int) -> None:
    assert wire_code(problem) == code
    assert render_rest_problem(problem).status == status


@pytest.mark.parametrize(("state", "status"), STATES.items())
def test_states_have_the_status_of_the_table(state: str, status: int) -> None:
    for sqlstate in (state, f"{state}000", f"{state}0Z9") if len(state) == 2 else (state,):
        assert status_of(sqlstate, anonymous=False) == status


@pytest.mark.parametrize("state", [*OTHERS, *OTHERS_TOO])
def test_every_other_state_is_the_clients(state: str) -> None:
    assert status_of(state, anonymous=False) == 400


def test_nobody_is_asked_to_sign_in() -> None:
    assert status_of("42501", anonymous=True) == 401


@pytest.mark.parametrize(
    ("state", "status"), [("PT418", 418), ("PT200", 200), ("PT599", 599), ("PT600", 500), ("PT40A", 500)]
)
def test_a_function_chooses_a_status(state: str, status: int) -> None:
    assert status_of(state, anonymous=False) == status


@pytest.mark.parametrize(
    ("state", "message", "status"),
    [
        ("22023", 'role "nobody" does not exist', 401),
        ("22023", "role of the frame is wrong", 400),
        ("22023", "geometry column is missing", 400),
        ("21000", "DELETE requires a WHERE clause", 400),
        ("21000", "ON CONFLICT DO UPDATE command cannot affect row a second time", 400),
        ("21000", "more than one row returned by a subquery used as an expression", 500),
    ],
)
def test_a_state_of_several_meanings_is_told_by_its_message(state: str, message: str, status: int) -> None:
    assert status_of(state, message, anonymous=False) == status
