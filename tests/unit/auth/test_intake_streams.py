"""Large JSON, an object at a time, wherever the pieces that are read end."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.auth.intake import Rejection
from modules.auth.intake.sources import HashConfig, read_csv, read_firebase, read_jsonl, streams
from modules.auth.intake.sources.streams import objects
from monohull.kernel.refusals import WrongSetup

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=8), VALUES, max_size=4), max_size=8)


@given(OBJECTS, st.integers(1, 40), st.sampled_from(["array", "key", "lines", "pretty"]))
def test_every_form_gives_the_objects_back(found: list[Any], chunk: int, form: str) -> None:
    text = {
        "array": json.dumps(found),
        "key": json.dumps({"users": found}),
        "pretty": json.dumps({"users": found}, indent=2),
        "lines": "".join(json.dumps(one) + "\n" for one in found),
    }[form]
    before, streams.CHUNK_CHARACTERS = streams.CHUNK_CHARACTERS, max(chunk, 16)  # type: ignore[misc]
    try:
        assert [one for _, one in objects(StringIO(text), key="users")] == found
    finally:
        streams.CHUNK_CHARACTERS = before  # type: ignore[misc]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('[{"a": 1}, {"a"', id="ends in the middle"),
        pytest.param('[{"a": 1}', id="no end"),
        pytest.param('{"users": [nonsense]}', id="no JSON"),
        pytest.param("[" * 100_000, id="too deep"),
        pytest.param('["' + "x" * 3_000_000, id="endless"),
    ],
)
def test_a_list_that_is_no_json_ends_the_import(text: str) -> None:
    with pytest.raises(WrongSetup, match="not readable as JSON"):
        list(objects(StringIO(text), key="users"))


def test_an_endless_line_ends_the_import_and_a_bad_one_is_refused() -> None:
    with pytest.raises(WrongSetup, match="longer than"):
        list(objects(StringIO('{"a": 1}\n"' + "x" * 3_000_000), key="users"))
    found = [one for _, one in objects(StringIO('{"a": 1}\n{"a"\n\n7\n' + '{"a": 2}'), key="users")]
    assert found[0] == {"a": 1}
    assert [one.reason for one in found[1:3] if isinstance(one, Rejection)] == ["no_json", "no_object"]
    assert found[3] == {"a": 2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "name columns"),
        ("email,email\n", "name columns"),
        ("email,password\na@example.com,x\n", "not password"),
        ('email\n"a@example.com', "no CSV"),
    ],
)
def test_a_table_that_cannot_be_read_ends_the_import(text: str, words: str) -> None:
    with pytest.raises(WrongSetup, match=words):
        list(read_csv(StringIO(text)))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a@example.com", "wrong_columns"),
        ("a@example.com,yesterday,", "bad_time"),
        ("a@example.com,,{", "no_json"),
        ("a@example.com,,[]", "bad_value"),
    ],
)
def test_rows_that_do_not_fit_are_refused(row: str, reason: str) -> None:
    (entry,) = read_csv(StringIO(f"email,created_at,user_metadata\n{row}\n"))
    assert isinstance(entry.found, Rejection)
    assert entry.found.reason == reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"email": "a@example.com", "pasword": "x"}', "bad_value"),
        ('{"email": 7}', "bad_value"),
        ('{"id": "7"}', "bad_value"),
        ('{"is_anonymous": "perhaps"}', "bad_value"),
        ('{"created_at": "99999999999999999999999"}', "bad_time"),
    ],
)
def test_lines_that_do_not_fit_are_refused(line: str, reason: str) -> None:
    (entry,) = read_jsonl(StringIO(line))
    assert isinstance(entry.found, Rejection)
    assert entry.found.reason == reason


CONSOLE = """hash_config {
  algorithm: SCRYPT,
  base64_signer_key: jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==,
  base64_salt_separator: Bw==,
  rounds: 8,
  mem_cost: 14,
}"""


def test_what_firebases_console_shows_is_read() -> None:
    config = HashConfig.read(CONSOLE)
    assert (config.salt_separator, config.rounds, config.mem_cost) == ("Bw==", 8, 14)


@pytest.mark.parametrize(
    ("old", "new"),
    [("SCRYPT", "MD5"), ("mem_cost: 14", ""), ("mem_cost: 14", "mem_cost: 30"), ("rounds: 8", "rounds: no")],
)
def test_parameters_that_cannot_be_are_refused(old: str, new: str) -> None:
    with pytest.raises(WrongSetup):
        HashConfig.read(CONSOLE.replace(old, new))


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ({"email": "a@example.com"}, "bad_value"),
        ({"localId": "x", "passwordHash": "aGFzaA==", "salt": "c2FsdA=="}, "no_hash_parameters"),
        ({"localId": "x", "customAttributes": "{"}, "no_json"),
        ({"localId": "x", "createdAt": "soon"}, "bad_time"),
        ({"localId": "x", "email": 7}, "bad_value"),
    ],
)
def test_firebase_users_that_do_not_fit_are_refused(user: dict[str, Any], reason: str) -> None:
    (entry,) = read_firebase(StringIO(json.dumps({"users": [user]})), None)
    assert isinstance(entry.found, Rejection)
    assert entry.found.reason == reason
