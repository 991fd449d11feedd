"""What is remembered of a request's line and headers changes nothing about its meaning."""

from __future__ import annotations

from typing import Any

import pytest

from modules.query import Read
from modules.rest import request as module
from modules.rest.errors import SchemaNotExposed
from modules.rest.request import MAX_KEPT, parse_head, parse_request
from modules.rest.settings import RestSettings
from monohull.kernel.authentication import Credentials
from monohull.kernel.header_sets import HeaderSet

PLAIN = RestSettings()


def scope(
    method: str = "GET", path: str = "/rest/v1/items", query: bytes = b"id=eq.1", **headers: str
) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": pairs,
        "state": {"headers": HeaderSet(pairs, dict(pairs), Credentials())},
    }


VARIED: tuple[dict[str, Any], ...] = (
    {},
    {"method": "HEAD"},
    {"path": "/rest/v1/orders"},
    {"accept": "text/csv"},
    {"accept": "application/vnd.pgrst.object+json"},
    {"prefer": "count=exact"},
    {"prefer": "count=planned"},
    {"prefer": "tx=rollback"},
    {"range": "0-4"},
    {"range": "5-9"},
    {"method": "HEAD", "range": "5-9"},
    {"authorization": "Bearer a"},
)


def test_each_request_is_parsed_as_if_it_were_the_first() -> None:
    for _ in range(2):
        for settings in (PLAIN, RestSettings(schemas=("other", "public")), RestSettings(max_rows=3)):
            for varied in VARIED:
                asked = scope(**varied)
                assert parse_request(asked, settings).head == parse_head(asked, settings)
                unremembered = parse_request(
                    {**asked, "state": {"headers": HeaderSet([], None, Credentials())}}, settings
                )
                assert parse_request(asked, settings) == unremembered


def test_the_same_request_is_the_same_shape() -> None:
    first, second, third = (parse_request(scope(query=b"id=eq.%d" % n), PLAIN) for n in (1, 2, 3))
    assert second.asked is third.asked
    assert first.asked == second.asked
    assert isinstance(third.asked, Read)
    assert [one.values for one in (first, second, third)] == [["1"], ["2"], ["3"]]


def test_other_settings_are_obeyed_at_once() -> None:
    two = RestSettings(schemas=("public", "private"))
    assert parse_request(scope(accept_profile="private"), two).schema == "private"
    with pytest.raises(SchemaNotExposed):
        parse_request(scope(accept_profile="private"), PLAIN)
    assert parse_request(scope(accept_profile="private"), two).profile == "private"


def test_what_is_remembered_is_bounded() -> None:
    for number in range(MAX_KEPT + 50):
        parse_request(scope(path=f"/rest/v1/t{number}"), PLAIN)
    assert len(module._heads) <= MAX_KEPT
    assert len(module._reads) <= MAX_KEPT
    before = len(module._heads)
    parse_request(scope(prefer="x" * 5000), PLAIN)
    assert len(module._heads) == before
