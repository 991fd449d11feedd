from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from monohull.kernel.events import Envelope, Event, EventError, EventRegistry, Subscriber, matches


class SignedIn(Event, frozen=True):
    name = "auth.user_signed_in"

    user_id: str


class SignedInAgain(Event, frozen=True):
    name = "auth.user_signed_in"

    user_id: str


class SignedInSince(Event, frozen=True):
    name = "auth.user_signed_in"
    version = 2

    user_id: str
    method: str


class Nameless(Event, frozen=True):
    user_id: str


class Misnamed(Event, frozen=True):
    name = "SignedIn"


class FieldCalledName(Event, frozen=True):
    name: str  # type: ignore[misc]


async def hear(_: Any, __: Envelope) -> None: ...


def subscriber(name: str, *events: str) -> Subscriber:
    return Subscriber(name=name, events=events, handle=hear)


def envelope(name: str, version: int, payload: bytes) -> Envelope:
    return Envelope(
        id=UUID(int=1),
        position=1,
        transaction=700,
        sequence=1,
        name=name,
        version=version,
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        payload=msgspec.Raw(payload),
    )


@pytest.mark.parametrize(
    ("pattern", "name", "is_match"),
    [
        ("*", "auth.user_signed_in", True),
        ("auth.*", "auth.user_signed_in", True),
        ("auth.*", "auth.user.deleted", True),
        ("auth.*", "auth", False),
        ("auth.*", "authors.born", False),
        ("auth.user.*", "auth.user_signed_in", False),
        ("auth.user_signed_in", "auth.user_signed_in", True),
        ("auth.user_signed_in", "auth.user_signed_in_again", False),
    ],
)
def test_patterns(pattern: str, name: str, is_match: bool) -> None:
    assert matches(pattern, name) is is_match


def test_decodes_by_name_and_version() -> None:
    registry = EventRegistry([SignedIn, SignedInSince])
    assert registry.events == (SignedIn, SignedInSince)
    first = registry.decode(envelope("auth.user_signed_in", 1, b'{"user_id":"u","since":"later"}'))
    second = registry.decode(envelope("auth.user_signed_in", 2, b'{"user_id":"u","method":"totp"}'))
    assert first == SignedIn(user_id="u")
    assert second == SignedInSince(user_id="u", method="totp")


def test_an_unknown_event_keeps_its_payload() -> None:
    strange = envelope("auth.user_signed_in", 9, b'{"a": 1}')
    assert EventRegistry([SignedIn]).decode(strange) is None
    assert bytes(strange.payload) == b'{"a": 1}'


def test_a_payload_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError, match="user_id"):
        EventRegistry([SignedIn]).decode(envelope("auth.user_signed_in", 1, b"{}"))


@pytest.mark.parametrize("event", [Nameless, Misnamed, FieldCalledName])
def test_refuses_events_without_a_name(event: type[Event]) -> None:
    with pytest.raises(EventError, match="has no name of the form"):
        EventRegistry([event])


def test_refuses_two_events_of_one_name_and_version() -> None:
    with pytest.raises(
        EventError, match=r"SignedInAgain and SignedIn are both auth\.user_signed_in version 1"
    ):
        EventRegistry([SignedIn, SignedInAgain])


def test_the_same_event_twice_is_no_contradiction() -> None:
    assert EventRegistry([SignedIn, SignedIn]).events == (SignedIn,)


def test_finds_subscribers_in_order() -> None:
    audit, mail, other = (
        subscriber("audit.all", "*"),
        subscriber("mail.sign_in", "auth.*"),
        subscriber("x.y", "b.c"),
    )
    registry = EventRegistry(subscribers=[audit, mail, other])
    assert registry.matching("auth.user_signed_in") == (audit, mail)
    assert registry.subscribers == (audit, mail, other)
    assert registry.subscriber("x.y") is other


def test_an_unknown_subscriber_is_named() -> None:
    with pytest.raises(LookupError, match=r"gone\.away"):
        EventRegistry().subscriber("gone.away")


def test_refuses_two_subscribers_of_one_name() -> None:
    with pytest.raises(EventError, match=r"two subscribers are called 'a\.b'"):
        EventRegistry(subscribers=[subscriber("a.b", "*"), subscriber("a.b", "c.d")])


@pytest.mark.parametrize("pattern", ["", "auth.", "auth*", "*.created", "Auth.*", "auth.**"])
def test_refuses_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(EventError, match="neither a name"):
        EventRegistry(subscribers=[subscriber("a.b", pattern)])
