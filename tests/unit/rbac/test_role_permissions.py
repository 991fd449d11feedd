"""Which permissions a role may bundle, and who may give it."""

from __future__ import annotations

import pytest

from modules.rbac.errors import BeyondOwnRoles, UnknownRolePermission
from modules.rbac.permissions import demand_held, demand_known, including
from monohull.kernel.data_permissions import is_data_permission
from monohull.kernel.permissions import grants

KNOWN = {"storage.objects:write", "auth.users:manage", "orders.update"}


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "storage.*",
        "storage.objects:*",
        "storage.objects:write",
        "orders.update",
        "orders.*",
        "data.*",
        "data.orders:read",
        "data.shop.Orders%20with%20spaces:update",
        "data.orders:*",
        "data.rpc.total:call",
        "data.rpc.*",
    ],
)
def test_patterns_that_are_asked_for(pattern: str) -> None:
    demand_known([pattern], KNOWN)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "**",
        "storage",
        "storage.buckets:*",
        "no.such:thing",
        "data.orders:fly",
        "data",
        "data.rpc.f:run",
        ".*",
    ],
)
def test_patterns_that_nothing_asks_for(pattern: str) -> None:
    with pytest.raises(UnknownRolePermission):
        demand_known(["storage.*", pattern], KNOWN)


@pytest.mark.parametrize(
    ("held", "given", "may"),
    [
        ({"*"}, "*", True),
        ({"storage.*"}, "storage.objects:*", True),
        ({"storage.*"}, "storage.*", True),
        ({"storage.objects:*"}, "storage.*", False),
        ({"storage.objects:write"}, "storage.objects:*", False),
        ({"storage.*", "auth.*"}, "*", False),
        (set(), "data.orders:read", False),
        ({"data.*"}, "data.orders:read", True),
    ],
)
def test_nobody_gives_more_than_they_hold(held: set[str], given: str, may: bool) -> None:
    if may:
        demand_held([given], frozenset(held))
        return
    with pytest.raises(BeyondOwnRoles):
        demand_held([given], frozenset(held))


@pytest.mark.parametrize("wanted", ["storage.objects:write", "orders.update", "a:b", "data.rpc.total:call"])
def test_including_are_the_patterns_that_grant(wanted: str) -> None:
    for pattern in including(wanted):
        assert grants(frozenset({pattern}), wanted), pattern
    assert not grants(frozenset({"other.*", "a:c", "storage.objects:read"}), wanted)


def test_data_permissions_are_recognised() -> None:
    assert not is_data_permission("database.orders:read")
    assert is_data_permission("data.orders:insert")
