"""The audit log: who did what, as what, from where and on what, in a chain that shows every change.

    events of all modules ─┐
    rows of audited tables ┴→ monohull.audit_queue → the worker → monohull.audit_entries, chained

Neighbours know nothing of it: what they publish is audited unless the event says otherwise.
"""

from __future__ import annotations

__all__: list[str] = []
