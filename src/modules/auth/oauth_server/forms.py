"""Read parameters as OAuth wants them: each once, from a query, a form or a JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec

from modules.auth.oauth_errors import OauthInvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FIELDS = 50


def read_form(text: str) -> Mapping[str, str]:
    """Read a query string or a form; empty values count as left out (RFC 6749, section 3.1).

    Raises:
        OauthInvalidRequest: 400, a parameter is there twice, or there are too many of them.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise OauthInvalidRequest(f"More than {MAX_FIELDS} parameters") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise OauthInvalidRequest(f"The parameter {name[:40]} is there twice")
        found[name] = value
    return _without_empty(found)


def read_body(body: bytes, media_type: str | None) -> Mapping[str, str]:
    """Read a form, or a JSON object of texts.

    Raises:
        OauthInvalidRequest: 400, it is neither.
    """
    if (media_type or "").partition(";")[0].strip().lower() == "application/json":
        try:
            return _without_empty(msgspec.json.decode(body, type=dict[str, str]))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise OauthInvalidRequest("The body is no JSON object of texts") from None
    try:
        return read_form(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise OauthInvalidRequest("The body is not UTF-8") from None


def _without_empty(found: Mapping[str, str]) -> Mapping[str, str]:
    if any("\0" in name or "\0" in value for name, value in found.items()):
        raise OauthInvalidRequest("A parameter contains the character U+0000")
    return {name: value for name, value in found.items() if value}
