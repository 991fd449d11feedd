"""Mails and text messages: written from templates, sent by jobs, kept in a mailbox in development.

A message is promised in the transaction that needs it (`Courier`), and its
variables lie sealed in the job until the worker writes and sends it: a link or a
code is readable in no table.
"""

from __future__ import annotations

from modules.auth.messages.courier import Courier
from modules.auth.messages.letters import Letter, Variables
from modules.auth.messages.mailbox import Kept, Mailbox

__all__ = ["Courier", "Kept", "Letter", "Mailbox", "Variables"]
