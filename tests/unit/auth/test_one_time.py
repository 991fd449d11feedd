"""Codes, tokens and challenges, without a database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from modules.auth.dtos import Challenge
from modules.auth.errors import ValidationFailed
from modules.auth.one_time import Secrets
from modules.auth.services.pkce import CodeChallenge, challenge_of
from modules.auth.settings import AuthSettings
from monohull.kernel.clock import now
from monohull.kernel.ids import hash_token

SETTINGS = AuthSettings(mailer_otp_length=8, sms_otp_exp=30, sms_test_otp=("+15550001111=123", "4912:7"))
SECRETS = Secrets("the-secret-of-this-instance", SETTINGS)


def test_a_code_leads_to_what_is_stored_and_only_for_its_address() -> None:
    issued = SECRETS.issue("ada@example.com")
    assert len(issued.code) == 8
    assert len(issued.token) == 56
    assert issued.token_hash == hash_token(issued.token)
    assert issued.token_hash in SECRETS.hashes("ada@example.com", issued.code)
    assert issued.token_hash not in SECRETS.hashes("eve@example.com", issued.code)
    assert issued.token_hash not in Secrets("another", SETTINGS).hashes("ada@example.com", issued.code)


def test_under_pkce_the_token_says_so() -> None:
    issued = SECRETS.issue("ada@example.com", is_pkce=True)
    assert issued.token.startswith("pkce_")
    assert issued.token_hash in SECRETS.hashes("ada@example.com", issued.code)


def test_numbers_have_codes_and_lifetimes_of_their_own() -> None:
    assert SECRETS.issue("15550001111").code == "123"
    assert SECRETS.issue("4912").code == "7"
    assert len(SECRETS.issue("4913").code) == 6
    assert SECRETS.is_alive("4913", now() - timedelta(seconds=29))
    assert not SECRETS.is_alive("4913", now() - timedelta(seconds=31))
    assert SECRETS.is_alive("ada@example.com", now() - timedelta(minutes=59))


def test_codes_of_test_numbers_end() -> None:
    numbers = ("15550001111=123",)
    ahead = AuthSettings(sms_test_otp=numbers, sms_test_otp_valid_until=now() + timedelta(minutes=1))
    assert ahead.test_code("15550001111") == "123"
    past = Secrets("s", AuthSettings(sms_test_otp=numbers, sms_test_otp_valid_until=now()))
    assert not past.is_test("15550001111")
    assert len(past.issue("15550001111").code) == 6


def test_codes_differ() -> None:
    assert len({SECRETS.issue("ada@example.com").code for _ in range(50)}) > 45


def test_the_challenge_of_the_standard() -> None:
    """RFC 7636, appendix B."""
    challenge = CodeChallenge("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "s256")
    assert challenge.fits("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert not challenge.fits("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK")


def test_no_challenge_is_the_implicit_flow() -> None:
    assert challenge_of(Challenge()) is None
    assert challenge_of(Challenge("", "")) is None
    assert challenge_of(Challenge("x" * 43, "S256")) == CodeChallenge("x" * 43, "s256")


@pytest.mark.parametrize(
    ("text", "method"), [("x" * 43, None), (None, "s256"), ("x" * 42, "s256"), ("ä" * 43, "s256")]
)
def test_half_a_challenge_is_refused(text: str | None, method: str | None) -> None:
    with pytest.raises(ValidationFailed):
        challenge_of(Challenge(text, method))
