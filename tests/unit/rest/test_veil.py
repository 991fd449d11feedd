"""What PostgreSQL says to a caller with hidden columns."""

from __future__ import annotations

import pytest

from modules.rest.veil import veil
from monohull.kernel.database.frames import PostgresError

HIDDEN = frozenset({"pin", "insurance_no"})


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ('duplicate key value violates unique constraint "people_name_key"', True),
        ('duplicate key value violates unique constraint "people_pin_key"', False),
        ('null value in column "insurance_no" of relation "people"', False),
        ("Insurance_No is bad", False),
        ("spinning", True),
        ('new row violates check constraint "' + "a" * 63 + '"', False),
    ],
    ids=["another", "constraint", "column", "case", "part of a word", "cut off"],
)
def test_messages(message: str, shown: bool) -> None:
    veiled = veil(
        PostgresError({"C": "23505", "M": message, "D": "Key (name)=(x) exists.", "S": "ERROR"}), HIDDEN
    )
    assert (veiled.message == message) is shown
    assert veiled.message
    assert (veiled.detail, veiled.sqlstate) == (None, "23505")


def test_details_and_hints_of_other_errors_stay_where_they_name_nothing() -> None:
    fields = {"C": "P0001", "M": "no", "D": "because", "H": 'Perhaps "people.pin".'}
    veiled = veil(PostgresError(fields), HIDDEN)
    assert (veiled.message, veiled.detail, veiled.hint) == ("no", "because", None)


def test_the_answer_of_a_function_is_its_own() -> None:
    raised = PostgresError({"C": "PGRST", "M": '{"code": "1", "message": "pin"}', "D": '{"status": 402}'})
    assert veil(raised, HIDDEN) is raised


def test_where_nothing_is_hidden_names_stay() -> None:
    assert veil(PostgresError({"C": "23505", "M": 'constraint "a_b"'}), ()).message == 'constraint "a_b"'
