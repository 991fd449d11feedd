"""One attempt: the request, what came of it, and what the log keeps."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 msgspec reads it
from datetime import datetime  # noqa: TC003 msgspec reads it
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID  # noqa: TC003 msgspec reads it

import msgspec
from msgspec import Struct

from modules.webhooks.backoff import Retrying, read_retry_after
from modules.webhooks.bodies import Told, body_of
from modules.webhooks.signing import sign
from monohull.kernel import clock
from monohull.kernel.crypto import DecryptionError
from monohull.kernel.outbound import OutboundFailed, OutboundLimits, OutboundRefused
from monohull.kernel.span import Kind
from monohull.kernel.tracing import OFF

if TYPE_CHECKING:
    from modules.webhooks.sealing import Vault
    from modules.webhooks.settings import WebhooksSettings
    from monohull.kernel.outbound import Outbound, Reply
    from monohull.kernel.span import Value
    from monohull.kernel.tracing import Tracing

STARS: Final = "***"
GONE: Final = 410
MAX_LOGGED_HEADERS: Final = 50
MAX_LOGGED_VALUE: Final = 500
OURS: Final = frozenset({"request_too_large", "header", "url"})
"""Reasons for which we refuse a request today and tomorrow."""

_SECRET_ANSWERS: Final = frozenset({"set-cookie", "authorization", "proxy-authenticate", "www-authenticate"})


class Delivery(Struct, frozen=True, kw_only=True):
    """A delivery that this process has leased, with all that one attempt needs.

    Attributes:
        attempt: Its number, from 1.
        secrets: Ids and sealed texts of those that hold, the newest first.
        headers: Sealed.
        created_at: When the delivery was made; the window of retries begins there.
    """

    id: UUID
    endpoint_id: UUID
    attempt: int
    kind: str
    replay_of: UUID | None
    created_at: datetime
    url: str
    payload: str
    headers: str | None
    secrets: tuple[tuple[UUID, str], ...]
    timeout_seconds: int
    retrying: Retrying
    event: Told


class Attempt(Struct, frozen=True, kw_only=True):
    """What came of one attempt.

    Attributes:
        delay_seconds: Until the next one; None where the delivery is finished.
    """

    delivery: Delivery
    outcome: Literal["delivered", "failed"]
    started_at: datetime
    duration_seconds: float
    reason: str | None = None
    message: str | None = None
    request_headers: Mapping[str, str] = {}
    request_body: str = ""
    request_bytes: int = 0
    status: int | None = None
    response_headers: Mapping[str, str] | None = None
    response_body: str | None = None
    delay_seconds: float | None = None

    @property
    def state(self) -> str:
        """The delivery's from now on."""
        if self.outcome == "delivered":
            return "delivered"
        return "dead" if self.delay_seconds is None else "pending"

    def without_log(self) -> Attempt:
        """Return it without what was sent and answered."""
        return msgspec.structs.replace(
            self, request_headers={}, request_body="", response_headers=None, response_body=None
        )

    @property
    def is_refused_by_us(self) -> bool:
        """Whether nothing was sent, for what is wrong with the request; the endpoint did not fail."""
        return self.reason in OURS

    @property
    def is_gone(self) -> bool:
        """Whether the endpoint said that it will never take anything again."""
        return self.status == GONE


class Sender:
    """Makes attempts.

    Args:
        outbound: Reaches what may be reached.
        vault: Opens secrets and headers.
        settings: Limits of bodies.
        tracing: Records the attempts that belong to a trace that is.
    """

    def __init__(
        self, outbound: Outbound, vault: Vault, settings: WebhooksSettings, tracing: Tracing = OFF
    ) -> None:
        self._outbound = outbound
        self._tracing = tracing
        self._vault = vault
        self._settings = settings

    async def send(self, delivery: Delivery) -> Attempt:
        """Make one attempt. Whatever fails is in what it returns."""
        began = clock.monotonic_seconds()
        known: dict[str, Any] = {"delivery": delivery, "started_at": clock.now()}
        event, about = delivery.event, _about(delivery)
        try:
            with self._tracing.following(
                event.traceparent, event.request_id, "webhook POST", Kind.CLIENT, **about
            ) as here:
                attempt = await self._attempt(delivery, known, began, here.traceparent)
                if here.span is not None and attempt.outcome == "failed":
                    here.span.error = here.span.attributes["error.type"] = attempt.reason or "failed"
                return attempt
        except Exception as error:  # noqa: BLE001 the boundary: an attempt that nobody hears of is made for ever
            message = f"This attempt ended by a defect of ours: {type(error).__name__}."
            return self._failed(known, began, "defect", message)

    async def _attempt(
        self, delivery: Delivery, known: dict[str, Any], began: float, traceparent: str | None
    ) -> Attempt:
        """Make one attempt, and put into ``known`` what the log is to show."""
        body = body_of(delivery.event, delivery.payload)
        known |= {"request_body": self._cut(body), "request_bytes": len(body)}
        try:
            headers, shown = self._headers(delivery, body, traceparent)
            known["request_headers"] = shown
            limits = self._limits(delivery)
            reply = await self._outbound.request(
                "POST", delivery.url, headers=headers, body=body, limits=limits
            )
        except OutboundRefused as error:
            return self._failed(known, began, error.reason, str(error))
        except OutboundFailed as error:
            known["status"] = error.status
            if _is_success(error.status):
                return _delivered(known, began, f"{error} It is not read, and the event counts as taken.")
            return self._failed(known, began, error.reason, str(error))
        except DecryptionError:
            message = "The endpoint's secrets were sealed under another MONOHULL_JWT_SECRET; rotate them."
            return self._failed(known, began, "secret_unreadable", message)
        known |= self._answer(reply)
        if _is_success(reply.status):
            return _delivered(known, began)
        retry_after = read_retry_after(reply.headers.get("Retry-After"), clock.now())
        return self._failed(known, began, *_refusal(reply), retry_after=retry_after)

    def _failed(
        self,
        known: dict[str, Any],
        began: float,
        reason: str,
        message: str,
        *,
        retry_after: float | None = None,
    ) -> Attempt:
        delivery: Delivery = known["delivery"]
        age = (clock.now() - delivery.created_at).total_seconds()
        if retry_after is not None:
            retry_after = min(retry_after, self._settings.retry_after_max_seconds)
        delay = delivery.retrying.next_delay(delivery.attempt, age, retry_after=retry_after)
        return Attempt(
            outcome="failed",
            duration_seconds=clock.monotonic_seconds() - began,
            reason=reason,
            message=message,
            delay_seconds=None if known.get("status") == GONE or reason in OURS else delay,
            **known,
        )

    def _headers(
        self, delivery: Delivery, body: bytes, traceparent: str | None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return the headers, and as the log shows them."""
        own = self._vault.open_headers(delivery.endpoint_id, delivery.headers)
        keys = [self._vault.open_secret(secret_id, sealed) for secret_id, sealed in delivery.secrets]
        event = delivery.event
        marks = {
            "Content-Type": "application/json",
            "User-Agent": "Monohull-Webhooks",
            "Monohull-Delivery": str(delivery.id),
            "Monohull-Attempt": str(delivery.attempt),
            "Monohull-Replay-Of": None if delivery.replay_of is None else str(delivery.replay_of),
            "X-Request-Id": event.request_id,
            "traceparent": traceparent,
        }
        ours = {name: value for name, value in marks.items() if value is not None}
        ours |= sign(str(event.id), clock.unix_seconds(), body, keys)
        shown = ours | dict.fromkeys((*own, "webhook-signature"), STARS)
        return own | ours, shown

    def _limits(self, delivery: Delivery) -> OutboundLimits:
        seconds = float(delivery.timeout_seconds)
        return OutboundLimits(
            connect_seconds=min(5.0, seconds),
            read_seconds=seconds,
            total_seconds=seconds,
            request_bytes=self._settings.max_body_bytes,
        )

    def _answer(self, reply: Reply) -> dict[str, Any]:
        shown = {
            name: STARS if name.lower() in _SECRET_ANSWERS else _text(value)[:MAX_LOGGED_VALUE]
            for name, value in list(reply.headers.items())[:MAX_LOGGED_HEADERS]
        }
        return {
            "status": reply.status,
            "response_headers": shown,
            "response_body": self._cut(reply.body),
        }

    def _cut(self, body: bytes) -> str:
        return _text(body[: self._settings.log_body_bytes].decode(errors="replace"))


def _about(delivery: Delivery) -> dict[str, Value]:
    return {
        "http.request.method": "POST",
        "monohull.event.name": delivery.event.name,
        "monohull.event.id": str(delivery.event.id),
        "monohull.webhook.endpoint_id": str(delivery.endpoint_id),
        "monohull.webhook.attempt": delivery.attempt,
    }


def _is_success(status: int | None) -> bool:
    return status is not None and 200 <= status <= 299  # noqa: PLR2004 the successes of HTTP


def _delivered(known: dict[str, Any], began: float, message: str | None = None) -> Attempt:
    seconds = clock.monotonic_seconds() - began
    return Attempt(outcome="delivered", duration_seconds=seconds, message=message, **known)


def _text(value: str) -> str:
    """Return what PostgreSQL takes."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _refusal(reply: Reply) -> tuple[str, str]:
    if reply.redirects_to is not None:
        return "redirect", "The endpoint redirects, which is not followed; give the address it redirects to."
    if reply.status == GONE:
        return "gone", "The endpoint answered 410: it wants nothing any more, and was disabled."
    return "status", f"The endpoint answered {reply.status}."
