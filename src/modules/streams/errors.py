"""Refusals of streams."""

from __future__ import annotations

from monohull.kernel.errors import Conflict, InvalidRequest


class SinkInvalid(InvalidRequest):
    """The sink as it would be makes no sense; the message says what of it."""

    code = "sink_invalid"
    hint = "Mend what the message names and send the request again."


class SinkKindUnavailable(InvalidRequest):
    """The library that speaks to this kind of broker is not installed here."""

    code = "sink_kind_unavailable"
    hint = "Install it on every API and worker; for Kinesis, monohull with the extra `kinesis`."


class TooManySinks(Conflict):
    """There are as many sinks as the settings allow."""

    code = "too_many_sinks"
    hint = "Delete one; MONOHULL_STREAMS_MAX_SINKS says how many there may be."
