"""What is read out of providers' answers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from modules.auth.providers.catalogue import CATALOGUE
from modules.auth.providers.client import passed_through
from modules.auth.providers.id_tokens import at_hash_fits
from modules.auth.providers.profiles import EmailList, Paths, Unreadable, pick_email, read_profile
from modules.auth.providers.provider import built_in
from modules.auth.settings import AuthSettings

ISSUER = "https://issuer.example"


def configured(values: dict[str, Any]) -> AuthSettings:
    """Settings by the names that are made from the catalogue."""
    return msgspec.convert(values, AuthSettings)


def read(answer: Any, **paths: Any) -> Any:
    return read_profile(answer, Paths(**paths), issuer=ISSUER)


@pytest.mark.parametrize(
    ("told", "verified"),
    [
        (True, True),
        ("true", True),
        (1, True),
        ("1", True),
        (False, False),
        ("false", False),
        (0, False),
        (2, False),
        (1.0, False),
        (None, False),
        ("yes", False),
        ([], False),
        ({}, False),
    ],
    ids=repr,
)
def test_only_a_yes_verifies(told: Any, verified: bool) -> None:
    profile = read({"sub": "x", "email": "a@example.com", "email_verified": told})
    assert profile.is_verified is verified
    assert profile.claims["email_verified"] is verified


@pytest.mark.parametrize(
    "subject",
    [None, "", True, 1.5, [], {}, "x" * 256, "a\0b", 2**63],
    ids=["none", "empty", "true", "float", "list", "dict", "long", "nul", "big"],
)
def test_without_a_subject_there_is_nobody(subject: Any) -> None:
    with pytest.raises(Unreadable):
        read({"sub": subject})


@pytest.mark.parametrize("answer", [None, [], "x", 7, {}], ids=repr)
def test_answers_of_another_shape(answer: Any) -> None:
    with pytest.raises(Unreadable):
        read(answer)


@pytest.mark.parametrize("email", ["", "a", "a@b@c", "a b@example.com", 7, ["a@example.com"], None], ids=repr)
def test_what_is_no_address_is_none(email: Any) -> None:
    profile = read({"sub": "x", "email": email, "email_verified": True})
    assert (profile.email, profile.is_verified) == (None, False)
    assert "email" not in profile.claims


def test_texts_are_cut_and_can_be_stored() -> None:
    profile = read({"sub": 7, "name": "A\0da", "picture": "x" * 5000, "preferred_username": 3})
    assert profile.subject == "7"
    assert profile.claims["name"] == "Ada"
    assert len(profile.claims["picture"]) == 2048
    assert "user_name" not in profile.claims


def test_a_time_of_proof_is_proof() -> None:
    answer = {"sub": "x", "email": "a@example.com", "confirmed_at": "2024-01-01"}
    assert read(answer, verified_at=".confirmed_at").is_verified
    assert not read({**answer, "confirmed_at": None}, verified_at=".confirmed_at").is_verified


@pytest.mark.parametrize(
    ("entries", "picked"),
    [
        ([], (None, False)),
        (None, (None, False)),
        (["a@example.com"], (None, False)),
        ([{"email": "a", "verified": True}, {"email": "b", "primary": True}], ("b", False)),
        ([{"email": "a"}, {"email": "b", "verified": True}], ("b", True)),
    ],
    ids=["empty", "none", "texts", "primary", "verified"],
)
def test_one_of_several_addresses(entries: Any, picked: tuple[Any, bool]) -> None:
    assert pick_email(entries, EmailList(url="")) == picked


def test_addresses_move_to_a_host_of_ones_own() -> None:
    settings = configured(
        {
            "external_github_enabled": True,
            "external_github_client_id": ("x",),
            "external_github_url": "https://git.example.com/",
        }
    )
    github = built_in(CATALOGUE["github"], settings, "https://api.example.com/callback")
    assert github is not None
    assert github.emails is not None
    assert (github.authorize_url, github.userinfo_url, github.emails.url) == (
        "https://git.example.com/login/oauth/authorize",
        "https://git.example.com/api/v3/user",
        "https://git.example.com/api/v3/user/emails",
    )
    assert github.realm == "https://git.example.com"


@pytest.mark.parametrize(
    ("url", "verified"),
    [
        (None, False),
        ("https://login.microsoftonline.com/organizations", False),
        ("https://login.microsoftonline.com/5d2f", True),
    ],
    ids=["common", "organizations", "a tenant"],
)
def test_one_tenant_of_azure_vouches_for_its_addresses(url: str | None, verified: bool) -> None:
    settings = configured(
        {"external_azure_enabled": True, "external_azure_client_id": ("x",), "external_azure_url": url}
    )
    azure = built_in(CATALOGUE["azure"], settings, "https://api.example.com/callback")
    assert azure is not None
    answer = {"sub": "x", "email": "a@example.com"}
    assert read_profile(answer, azure.paths, issuer=ISSUER).is_verified is verified
    denied = read_profile({**answer, "xms_edov": False}, azure.paths, issuer=ISSUER)
    assert not denied.is_verified
    assert read_profile({**answer, "xms_edov": "1"}, azure.paths, issuer=ISSUER).is_verified


def test_without_a_client_nobody_signs_in() -> None:
    settings = configured({"external_google_enabled": True})
    assert built_in(CATALOGUE["google"], settings, "https://api.example.com/callback") is None


def test_parameters_that_are_ours_do_not_pass() -> None:
    query = {"prompt": "login", "State": "x", "client_id": "y", "request_uri": "z", "long": "x" * 2000}
    assert passed_through(query) == {"prompt": "login"}
    assert len(passed_through({str(number): "x" for number in range(100)})) == 20


def test_the_hash_of_an_access_token() -> None:
    """The example of OpenID Connect Core 1.0, appendix A.3."""
    told = {"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"}
    assert at_hash_fits(told, "RS256", "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y")
    assert not at_hash_fits(told, "RS256", "another")
    assert not at_hash_fits({"at_hash": 7}, "RS256", "another")
    assert at_hash_fits({}, "RS256", "another")
