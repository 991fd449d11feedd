"""Refusals of policy."""

from __future__ import annotations

from monohull.kernel.errors import InvalidRequest, NotFound


class RequestNotUnderstood(InvalidRequest):
    """The request that is to be explained is none of the data API."""

    code = "explain_request_invalid"
    hint = "Write it as 'GET /rest/v1/orders?id=eq.1'."


class CallerNotUnderstood(InvalidRequest):
    """``as`` names nobody."""

    code = "explain_caller_invalid"
    hint = "Write anon, service, user:ID or key:ID; claims are a JSON object."


class CallerUnknown(NotFound):
    """There is no such user or key."""

    code = "explain_caller_unknown"
    hint = "With claims a user need not exist: pass them, sub among them, and the role."
