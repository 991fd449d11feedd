"""Values that must not be shown, and those that are no secret at all."""

from __future__ import annotations

from typing import Final

KNOWN_SECRETS: Final = frozenset(
    {
        "super-secret-jwt-token-with-at-least-32-characters-long",
        "your-super-secret-jwt-token-with-at-least-32-characters-long",
        "your-super-secret-and-long-postgres-password",
        "reallyreallyreallyreallyverysafe",
    }
)
"""Secrets printed in public documentation; production refuses them."""

MIN_SECRET_CHARACTERS: Final = 32
MIN_SECRET_DISTINCT: Final = 10


class Secret(str):
    """A value that must not be shown: its ``repr`` is a mask, so that no log line or traceback has it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('…')"


def weakness(secret: str) -> str | None:
    """Say why ``secret`` is no secret for production, or None when it is one."""
    if len(secret) < MIN_SECRET_CHARACTERS:
        return f"it has {len(secret)} characters; {MIN_SECRET_CHARACTERS} are needed"
    if secret in KNOWN_SECRETS:
        return "it is printed in public documentation"
    if len(set(secret)) < MIN_SECRET_DISTINCT:
        return f"it has fewer than {MIN_SECRET_DISTINCT} different characters"
    return None
