"""The passwords that people choose most, which whoever guesses tries first.

``frequent_passwords.txt.gz`` has about 28,000 of six characters and more, one a
line, in lower case and by frequency: the list of zxcvbn (Dropbox, MIT; its
licence lies beside it), which was counted in Mark Burnett's collection of ten
million leaked passwords. More than 11,000 have the eight characters that are
asked for by default. Capitals do not make one of them another password.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from modules.auth.settings import AuthSettings

FILE: Final = Path(__file__).parent / "frequent_passwords.txt.gz"


class FrequentPasswords:
    """Knows the list; some 3 MB a process."""

    def __init__(self) -> None:
        self._known = frozenset(gzip.decompress(FILE.read_bytes()).decode("ascii").split())

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, password: object) -> bool:
        return isinstance(password, str) and password.lower() in self._known


def build_frequent(settings: AuthSettings, *, is_production: bool) -> FrequentPasswords | None:
    """Return what the settings ask for."""
    wanted = settings.password_frequent_refused
    return FrequentPasswords() if wanted or (wanted is None and is_production) else None
