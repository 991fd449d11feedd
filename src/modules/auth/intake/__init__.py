"""Take over users from elsewhere: ids, password hashes, identities, metadata and confirmations.

    source (file or database) → `Entry` → `prepare` → `Intake` → ``auth.users``, ``auth.identities``

Entries stream, and are written in batches of one transaction each, so memory
does not grow with their number. Whoever is there already is left as it is: a
second run changes nothing. A dry run does the same work in one transaction and
rolls it back, so it says what the real one would, triggers of the project
included.
"""

from __future__ import annotations

from modules.auth.intake.preparing import Rules
from modules.auth.intake.records import Entry, Imported, ImportedIdentity, Rejection
from modules.auth.intake.report import Report
from modules.auth.intake.writing import Intake

__all__ = ["Entry", "Imported", "ImportedIdentity", "Intake", "Rejection", "Report", "Rules"]
