from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.auth.errors import AuthProblem, ValidationFailed, WeakPassword
from modules.auth.rules import character_sets, check_password, check_storable, normal_email
from modules.auth.settings import AuthSettings, seconds


@pytest.mark.parametrize("text", ["a@b", "A.b+c@Example.COM", " x@y.io ", "o'neil@x-y.example"])
def test_addresses(text: str) -> None:
    assert normal_email(text) == text.strip().lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a@",
        "@b",
        "a@b@c",
        "a b@c",
        "a@-b.io",
        "a@b..io",
        "a\0@b.io",
        "é@b.io",
        "a@b." + "c" * 64,
        "a" * 251 + "@b.io",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValidationFailed, match="Unable to validate email address: invalid format"):
        normal_email(text)


@given(st.text())
def test_any_text_is_an_address_or_refused(text: str) -> None:
    with suppress(ValidationFailed):
        assert "\0" not in normal_email(text)


@pytest.mark.parametrize(
    ("password", "reasons"),
    [("1234567", ("length",)), ("12345678", ()), ("", ("length",)), ("x" * 72, ())],
)
def test_length(password: str, reasons: tuple[str, ...]) -> None:
    if not reasons:
        check_password(password, AuthSettings())
        return
    with pytest.raises(WeakPassword) as caught:
        check_password(password, AuthSettings())
    assert caught.value.reasons == reasons
    assert caught.value.message == "Password should be at least 8 characters."


def test_bytes_count_and_not_characters() -> None:
    with pytest.raises(AuthProblem, match="cannot be longer than 72"):
        check_password("é" * 37, AuthSettings())


def test_one_character_of_each_set() -> None:
    settings = AuthSettings(password_required_characters=r"abc:123:\:!")
    check_password("aaaaaa1:", settings)
    with pytest.raises(WeakPassword) as caught:
        check_password("aaaaa1", settings)
    assert caught.value.reasons == ("length", "characters")


def test_sets() -> None:
    assert character_sets(None) == []
    assert character_sets(r"ab:\::c") == ["ab", ":", "c"]


@pytest.mark.parametrize("value", ["a\0", {"a\0": 1}, {"a": ["b", {"c": "\0"}]}, ["\0"]])
def test_nul_cannot_be_stored(value: object) -> None:
    with pytest.raises(ValidationFailed):
        check_storable(value)


def test_the_rest_can() -> None:
    check_storable({"a": ["\\u0000", 1, None, True, {"b": "c"}]})


@pytest.mark.parametrize(
    ("text", "expected"), [(None, None), ("90", 90), ("24h", 86_400), ("1h30m", 5400), ("1.5m10s", 100)]
)
def test_durations(text: str | None, expected: float | None) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("env", "setting", "expected"),
    [
        ("development", None, True),
        ("test", None, True),
        ("production", None, False),
        ("production", True, True),
        ("test", False, False),
    ],
)
def test_addresses_are_trusted_outside_production(env: str, setting: bool | None, expected: bool) -> None:
    assert AuthSettings(mailer_autoconfirm=setting).autoconfirms(env) is expected  # type: ignore[arg-type]
