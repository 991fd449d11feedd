"""Where users come from. Each source streams `Entry` after `Entry`, and holds one at a time."""

from __future__ import annotations

from modules.auth.intake.sources.auth0 import read_auth0
from modules.auth.intake.sources.firebase import HashConfig, read_firebase
from modules.auth.intake.sources.gotrue import read_gotrue
from modules.auth.intake.sources.tables import read_csv, read_jsonl

__all__ = ["HashConfig", "read_auth0", "read_csv", "read_firebase", "read_gotrue", "read_jsonl"]
