"""Hooks in Python, as a project writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


async def claims(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Add what the method was."""
    return {"claims": {**payload["claims"], "by": payload["authentication_method"]}}


def refuse_everybody(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse, whether the password was right or not."""
    return {"decision": "reject", "message": f"valid was {payload['valid']}"}


async def fail(_: Mapping[str, Any]) -> dict[str, Any]:
    """Raise what a project's code may raise."""
    raise KeyError("a secret of the project")


async def steal(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Try to make the token somebody else's."""
    return {"claims": {**payload["claims"], "sub": "00000000-0000-0000-0000-000000000000"}}


def only_ada(payload: Mapping[str, Any]) -> dict[str, Any] | None:
    """Let one person become a user."""
    if payload["user"]["email"].startswith("ada."):
        return None
    return {"error": {"message": "only Ada"}}


def refuse_factors(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse right answers, and say what was asked."""
    if not payload["valid"]:
        return {"decision": "continue"}
    return {"decision": "reject", "message": f"no {payload['factor_type']} today"}


def promote(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Try to make an application's token one of the user's own."""
    return {"claims": {name: value for name, value in payload["claims"].items() if name != "client_id"}}
