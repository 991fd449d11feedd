"""What an endpoint may be, and how one is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import httpx
import msgspec

from modules.webhooks.bodies import ROWS
from modules.webhooks.dtos import Condition, EndpointView, PayloadForm, RowSubscription
from modules.webhooks.errors import WebhookInvalid, WebhookUrlRefused
from modules.webhooks.permissions import WRITE_CONDITIONS, WRITE_ROWS
from monohull.kernel import clock
from monohull.kernel.errors import Forbidden
from monohull.kernel.outbound import OutboundRefused, destinations
from monohull.kernel.permissions import grants

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from msgspec import Struct

    from modules.webhooks.dtos import RowProblem
    from modules.webhooks.models import WebhookEndpoint
    from monohull.kernel.outbound import Destinations
    from monohull.kernel.principal import Principal
    from monohull.kernel.settings import CoreSettings

NO_ENDPOINT: Final = "There is no such endpoint."

_TAKEN: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "traceparent",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-request-id",
    }
)
"""Headers that decide where a request ends, and those that we set ourselves."""


class Rules:
    """Checks endpoints before they are kept.

    Args:
        core: Says which private targets are allowed.
    """

    def __init__(self, core: CoreSettings) -> None:
        self._allowed: Destinations = destinations(core.outbound_allowed)

    def demand_url(self, url: str) -> None:
        """Let a URL pass that may be tried; where its name leads is looked at with every request.

        Raises:
            WebhookUrlRefused: 400.
        """
        try:
            self._allowed.check_url(url)
        except OutboundRefused as refused:
            raise WebhookUrlRefused(str(refused), details=refused.reason) from refused

    @staticmethod
    def demand_headers(headers: Mapping[str, str]) -> None:
        """Let headers pass that are not ours to set.

        Raises:
            WebhookInvalid: 400.
        """
        names = [name.lower() for name in headers]
        for name in names:
            if name in _TAKEN or name.startswith(("webhook-", "monohull-")):
                raise WebhookInvalid(f"The header {name} is set by us.")
        if len(set(names)) < len(names):
            raise WebhookInvalid("A header is named twice.")

    @staticmethod
    def demand_headers_anew(before: str, url: str) -> None:
        """Let a URL pass that leads where the one before led: stored headers are secrets of that place.

        Raises:
            WebhookInvalid: 400.
        """
        there, here = httpx.URL(before), httpx.URL(url)
        if (there.scheme, there.host, there.port) != (here.scheme, here.host, here.port):
            raise WebhookInvalid(
                "The url leads to another host, scheme or port, where the stored headers are not sent.",
                hint="Give headers in the same request: those for the new place, or {} for none.",
            )

    @staticmethod
    def demand_patterns(patterns: Iterable[str]) -> None:
        """Let patterns pass that name events of the product, and not rows of tables.

        Raises:
            WebhookInvalid: 400.
        """
        for pattern in patterns:
            if pattern.startswith(ROWS):
                raise WebhookInvalid(f"{pattern} is about rows of tables, which patterns do not choose.")

    @staticmethod
    def demand_tables(rows: Iterable[Mapping[str, object]]) -> None:
        """Let tables pass that are named once each.

        Raises:
            WebhookInvalid: 400.
        """
        names = [(row["schema"], row["table"]) for row in rows]
        if len(set(names)) < len(names):
            raise WebhookInvalid("A table is named twice; make an endpoint for each way to watch it.")

    @staticmethod
    def demand_wait(base_seconds: float, max_seconds: float) -> None:
        """Let waits pass of which the first is not longer than the longest.

        Raises:
            WebhookInvalid: 400.
        """
        if base_seconds > max_seconds:
            raise WebhookInvalid("retry_base_seconds is more than retry_max_seconds.")


def stored(parts: Iterable[Struct]) -> list[dict[str, object]]:
    """Return conditions or tables as they are stored."""
    return [msgspec.to_builtins(part) for part in parts]


def demand_rows(
    by: Principal, rows: Collection[RowSubscription], watched: Iterable[RowSubscription] = ()
) -> None:
    """Let pass who may change an endpoint that is told of rows, and have those watched.

    Args:
        by: Who asks.
        rows: What the endpoint has of tables, before and after.
        watched: What is to be watched anew; a condition among it runs with the rights of the schema's owner.

    Raises:
        Forbidden: 403.
    """
    if rows and not grants(by.permissions, WRITE_ROWS.name):
        raise Forbidden(f"An endpoint that is told of rows takes the permission {WRITE_ROWS.name}.")
    is_asked = any(one.condition is not None for one in watched)
    if is_asked and not grants(by.permissions, WRITE_CONDITIONS.name):
        raise Forbidden(f"A condition in SQL takes the permission {WRITE_CONDITIONS.name}.")


def view(row: WebhookEndpoint, problems: Sequence[RowProblem] = ()) -> EndpointView:
    """Show an endpoint, with what is wrong about the tables that it watches."""
    plain = {
        name: getattr(row, name)
        for name in EndpointView.__struct_fields__
        if name not in {"events", "rows", "row_problems", "filters", "header_names", "payload", "circuit"}
    }
    return EndpointView(
        **plain,
        events=tuple(row.events),
        rows=msgspec.convert(row.rows, tuple[RowSubscription, ...]),
        row_problems=list(problems),
        filters=msgspec.convert(row.filters, tuple[Condition, ...]),
        header_names=tuple(row.header_names),
        payload=msgspec.convert(row.payload, PayloadForm),
        circuit=circuit_of(row),
    )


def circuit_of(row: WebhookEndpoint) -> Literal["closed", "open", "half_open"]:
    """Say how the breaker of an endpoint stands."""
    if row.consecutive_failures < row.breaker_failures:
        return "closed"
    return "open" if row.opened_until is not None and row.opened_until > clock.now() else "half_open"
