"""Refresh tokens of one session form a chain, and only its last link is alive.

Each token is an HMAC of the one before. So the database keeps hashes alone,
and yet a client that lost our answer and repeats its request gets the very
token it missed, instead of a second branch: whoever presents a token lets us
compute what follows it. Without the server's secret a stolen token tells
nothing of its successors.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Final

from monohull.kernel import ids
from monohull.kernel.crypto import derive_key
from monohull.kernel.ids import hash_token

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_STEPS: Final = 64
"""How far a late retry may lie behind the live token."""


class Chain:
    """Makes the tokens of every session.

    Args:
        secret: The instance's JWT secret; the key is derived from it.
    """

    def __init__(self, secret: str) -> None:
        self._key = derive_key(secret, "auth.refresh_tokens")

    @staticmethod
    def first() -> str:
        """Return the first token of a session: 43 random URL-safe characters."""
        return ids.token()

    def following(self, token: str) -> str:
        """Return the token that replaces ``token``."""
        digest = hmac.digest(self._key, token.encode("utf-8", "surrogatepass"), "sha256")
        return urlsafe_b64encode(digest).rstrip(b"=").decode()

    def following_hash(self, token_hash: str) -> str:
        """Return the token that replaces the one of this hash, where nobody presented it.

        Who knows the hash alone cannot compute it; who presents the token later
        can be given it, as with `following`.
        """
        digest = hmac.digest(self._key, b"\0" + token_hash.encode(), "sha256")
        return urlsafe_b64encode(digest).rstrip(b"=").decode()

    def walk(self, token: str) -> Iterator[str]:
        """Yield what follows ``token``, link by link, `MAX_STEPS` at most."""
        for _ in range(MAX_STEPS):
            token = self.following(token)
            yield token

    def successors(self, token: str) -> Iterator[str]:
        """Yield like `walk` what may follow ``token`` where one link may be of `following_hash`.

        That link is a second factor's; it comes first, or somewhere on the way.
        """
        first = self.following_hash(hash_token(token))
        yield first
        for link in self.walk(token):
            yield link
            yield self.following_hash(hash_token(link))
        yield from self.walk(first)
