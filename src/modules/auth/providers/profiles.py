"""A provider's answer → who somebody is there, in the words of an identity.

Providers agree on nothing, so where each keeps what is data: paths in the
manner of ``.data[0].id``. What is read is text that somebody else chose; it is
cut to a length and never believed, the address least of all. Only a provider
that says an address is verified makes it one.

Source: supabase/auth, ``internal/api/provider/*.go``.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from modules.auth.addresses import parse_email
from modules.auth.claims import parse_path, walk

if TYPE_CHECKING:
    from modules.auth.claims import Step

MAX_TEXT_CHARACTERS: Final = 2048
MAX_SUBJECT_CHARACTERS: Final = 255
MAX_NUMBER: Final = 2**63

_TRUE: Final = frozenset({"true", "1"})


class Paths(Struct, frozen=True, kw_only=True):
    """Where an answer has what an identity needs.

    Attributes:
        subject: What the provider calls the person, for ever.
        email: An address.
        is_verified: Whether the provider has seen proof of it: a path to true or 1, or what holds always.
        verified_at: A path to the time of that proof, in place of ``is_verified``.
        assumes_verified: What holds when ``is_verified`` leads nowhere.
        name: Of the person.
        username: By which others know the person there.
        picture: The address of one.
    """

    subject: str = ".sub"
    email: str = ".email"
    is_verified: str | bool = ".email_verified"
    verified_at: str | None = None
    assumes_verified: bool = False
    name: str = ".name"
    username: str = ".preferred_username"
    picture: str = ".picture"


class EmailList(Struct, frozen=True, kw_only=True):
    """Another address that lists a person's e-mail addresses, as some providers have it."""

    url: str
    items: str | None = None
    is_primary: str = ".primary"
    is_verified: str = ".verified"


class Profile(Struct, frozen=True, kw_only=True):
    """Somebody, as a provider tells.

    Attributes:
        subject: The provider's own id of the person.
        email: In lower case, or None.
        is_verified: Whether the provider vouches for ``email``.
        claims: What an identity keeps.
    """

    subject: str
    email: str | None
    is_verified: bool
    claims: dict[str, Any]


class Unreadable(ValueError):
    """The provider's answer names nobody."""


def read_profile(answer: Any, paths: Paths, *, issuer: str, emails: Any = None) -> Profile:
    """Read a profile or the claims of an id token.

    Args:
        answer: Decoded JSON.
        paths: Where what is.
        issuer: Goes into the identity as ``iss``.
        emails: An address and whether it is verified, where another request asked for them.

    Raises:
        Unreadable: There is no subject.
    """
    subject = _subject(find(answer, paths.subject))
    address, verified = emails if emails is not None else _address(answer, paths)
    email = _email(address)
    name = text_of(find(answer, paths.name))
    username = text_of(find(answer, paths.username))
    picture = text_of(find(answer, paths.picture))
    told = {
        "email": email,
        "name": name,
        "full_name": name,
        "user_name": username,
        "preferred_username": username,
        "avatar_url": picture,
        "picture": picture,
    }
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": subject,
        "provider_id": subject,
        "email_verified": bool(email) and verified,
        "phone_verified": False,
        **{key: value for key, value in told.items() if value},
    }
    return Profile(subject=subject, email=email, is_verified=bool(email) and verified, claims=claims)


def pick_email(answer: Any, listed: EmailList) -> tuple[Any, bool]:
    """Return the primary address of a list, or the first that is verified; and whether it is."""
    items = find(answer, listed.items) if listed.items else answer
    entries = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    entries.sort(
        key=lambda item: (is_true(find(item, listed.is_primary)), is_true(find(item, listed.is_verified))),
        reverse=True,
    )
    if not entries:
        return None, False
    return entries[0].get("email"), is_true(find(entries[0], listed.is_verified))


def find(answer: Any, path: str) -> Any:
    """Return what ``path`` leads to, or None."""
    return walk(_path(path), answer)


def is_true(value: Any) -> bool:
    """Say whether a provider means yes; one writes true, another 1, a third ``"true"``."""
    return value is True or (not isinstance(value, float) and str(value).lower() in _TRUE)


def text_of(value: Any) -> str | None:
    """Return text that PostgreSQL can store, cut to a length; None for anything else."""
    if not isinstance(value, str):
        return None
    return value.replace("\0", "")[:MAX_TEXT_CHARACTERS].encode("utf-8", "ignore").decode() or None


@cache
def _path(path: str) -> tuple[Step, ...]:
    return parse_path(path)


def _subject(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_NUMBER:
        value = str(value)
    subject = text_of(value)
    if not subject or subject != value or len(subject) > MAX_SUBJECT_CHARACTERS:
        raise Unreadable("the answer has no subject")
    return subject


def _address(answer: Any, paths: Paths) -> tuple[Any, bool]:
    if paths.verified_at is not None:
        return find(answer, paths.email), bool(text_of(find(answer, paths.verified_at)))
    if isinstance(paths.is_verified, bool):
        return find(answer, paths.email), paths.is_verified
    told = find(answer, paths.is_verified)
    return find(answer, paths.email), paths.assumes_verified if told is None else is_true(told)


def _email(value: Any) -> str | None:
    """Return an address that could be a user's; None for anything else, so that it is not one's."""
    return parse_email(value) if isinstance(value, str) else None
