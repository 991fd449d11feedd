"""What is known of a request before the catalog is: route, credential, rate rule, key scope, column rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.policy.columns import limits_of
from modules.policy.findings import Step
from monohull.kernel.principal import PrincipalKind

if TYPE_CHECKING:
    from modules.rest import ApiRequest, RestSettings
    from monohull.kernel.principal import Principal


def before_the_database(
    request: ApiRequest, principal: Principal, settings: RestSettings
) -> tuple[Step, ...]:
    """Return the steps that come first, up to the rate rule of the data API."""
    return (_route(request), _credential(principal), _rate(principal, settings))


def before_the_catalog(principal: Principal) -> tuple[Step, ...]:
    """Return what limits the caller whatever is asked for."""
    return (_scope(principal), limits_of(principal))


def _route(request: ApiRequest) -> Step:
    head = request.head
    where = "rpc/" if head.kind == "function" else ""
    return Step(
        "route",
        "passes",
        f"{head.method} /rest/v1/{where}{head.name}: the data API, open to every caller",
        {"schema": head.schema, "kind": head.kind},
    )


def _credential(principal: Principal) -> Step:
    who = principal.subject or principal.key_id or "nobody"
    return Step(
        "credential",
        "passes",
        f"{principal.kind.value} ({who}), database role {principal.role}",
        {"kind": principal.kind.value, "role": principal.role, "claims": dict(principal.claims)},
    )


def _rate(principal: Principal, settings: RestSettings) -> Step:
    if not settings.rate_limit:
        return Step("rate", "skipped", "no rate rule is set")
    if principal.kind is PrincipalKind.SERVICE:
        return Step("rate", "skipped", "the service role is not limited")
    counted = "its user" if principal.subject is not None else "its address"
    return Step(
        "rate",
        "info",
        f"rule rest: {settings.rate_limit} a minute for {counted}; an explanation is not counted",
        {"rule": "rest", "per_minute": settings.rate_limit},
    )


def _scope(principal: Principal) -> Step:
    """Say what a key is limited to; whether that is enough is asked with the plan."""
    if principal.scopes is None:
        return Step("scope", "skipped", "no scope limits what data the caller may ask for")
    held = sorted(principal.scopes)
    return Step(
        "scope",
        "info",
        f"limited to {', '.join(held) or 'nothing'}",
        {"scopes": held, "key_id": principal.key_id},
    )
