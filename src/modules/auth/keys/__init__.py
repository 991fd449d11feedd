"""Signing keys: made here, sealed in the database, known to every process, replaced without a sign-out.

A key is ``standby`` first: published among the public keys, so that whoever
caches those knows it before it signs anything. Rotation makes it ``current``,
and the key before it ``previous``: it signs no more and still verifies, until
every token that it signed is over and it is ``retired``.

    standby ──rotate──▶ current ──rotate──▶ previous ──retire──▶ retired
"""

from __future__ import annotations

from modules.auth.keys.assembly import build_ring, build_rotation
from modules.auth.keys.presenters import Presenters
from modules.auth.keys.ring import KeyRing
from modules.auth.keys.rotation import Rotation
from modules.auth.keys.vault import Vault

__all__ = ["KeyRing", "Presenters", "Rotation", "Vault", "build_ring", "build_rotation"]
