"""Ended sessions, and users who were deleted, banned or changed: their tokens stop working at once.

A token is good for an hour and says what was true when it was signed. So the
database writes down what ended since, by triggers, whatever ended it: a
sign-out, an administrator, a cascade, a statement in ``psql``. Every process
keeps a copy, told by ``NOTIFY`` and in any case not older than
`denylist.POLL_SECONDS`; a request asks that copy and nobody else.
"""

from __future__ import annotations

from modules.auth.revocations.denylist import Denylist
from modules.auth.revocations.jobs import prune_revocations
from modules.auth.revocations.repository import CHANNEL

__all__ = ["CHANNEL", "Denylist", "prune_revocations"]
