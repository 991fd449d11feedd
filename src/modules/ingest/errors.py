"""Refusals of ingest, and what a consumer fails with."""

from __future__ import annotations

from monohull.kernel.errors import Conflict, InvalidRequest


class SourceInvalid(InvalidRequest):
    """The source as it would be makes no sense; the message says what of it."""

    code = "ingest_source_invalid"
    hint = "Mend what the message names and send the request again."


class UnknownIngestJob(InvalidRequest):
    """No job of the application is called so."""

    code = "unknown_ingest_job"
    hint = "Name a job of a module in MONOHULL_MODULES."


class TooManySources(Conflict):
    """There are as many sources as the settings allow."""

    code = "too_many_ingest_sources"
    hint = "Delete one; MONOHULL_INGEST_MAX_SOURCES says how many there may be."


class LetterNotDead(Conflict):
    """The letter is tried already, or is done."""

    code = "ingest_letter_not_dead"
    hint = "Wait until the letter is dead or done."


class Fault(Exception):
    """Something is wrong with the source or where its messages go, and not with one message.

    Nothing is acknowledged and nothing set aside; the source is tried again later.
    """


class Rejected(Exception):
    """A message could not have its effect; another attempt may.

    Args:
        reason: SQLSTATE, in lower case words.
        message: What the database said.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Unusable(Rejected):
    """A message that no attempt can help: it is no JSON, or lacks what is asked of it."""
