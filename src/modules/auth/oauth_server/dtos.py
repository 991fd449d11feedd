"""Bodies of the OAuth server; the field names are the wire's."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType


class ClientIn(Struct, frozen=True, kw_only=True):
    """``POST /admin/oauth/clients`` and ``/oauth/clients/register``."""

    client_name: str | None = None
    client_type: str | None = None
    redirect_uris: list[str] | None = None
    grant_types: list[str] | None = None
    response_types: list[str] | None = None
    scope: str | None = None
    client_uri: str | None = None
    logo_uri: str | None = None
    token_endpoint_auth_method: str | None = None


class ClientPatch(Struct, frozen=True, kw_only=True):
    """``PUT /admin/oauth/clients/{id}``: what is left out stays."""

    client_name: str | UnsetType = UNSET
    redirect_uris: list[str] | UnsetType = UNSET
    grant_types: list[str] | UnsetType = UNSET
    scope: str | UnsetType | None = UNSET
    client_uri: str | UnsetType | None = UNSET
    logo_uri: str | UnsetType | None = UNSET
    token_endpoint_auth_method: str | UnsetType = UNSET


class ClientView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An application; the secret is shown once, when it was made."""

    client_id: UUID
    client_secret: str | None = None
    client_type: str
    redirect_uris: list[str]
    token_endpoint_auth_method: str
    grant_types: list[str]
    response_types: list[str]
    client_name: str
    client_uri: str | None = None
    logo_uri: str | None = None
    scope: str | None = None
    registration_type: str
    created_at: datetime
    updated_at: datetime
    client_id_issued_at: int | None = None
    client_secret_expires_at: int | None = None


class ConsentBody(Struct, frozen=True):
    """``POST /oauth/authorizations/{id}/consent``: approve or deny."""

    action: str | None = None


class ApplicationView(Struct, frozen=True, kw_only=True):
    """What a user is told of an application; ``uri`` and ``logo_uri`` are empty when it gave none."""

    id: UUID
    name: str
    uri: str
    logo_uri: str


class AskedUser(Struct, frozen=True, kw_only=True):
    """Who is asked."""

    id: UUID
    email: str


class AuthorizationView(Struct, frozen=True, kw_only=True):
    """A request for access that waits for the user's answer; ``scope`` is separated by spaces."""

    authorization_id: str
    redirect_uri: str
    client: ApplicationView
    user: AskedUser
    scope: str


class Answered(Struct, frozen=True):
    """Where the user has to go back to."""

    redirect_url: str


class GrantView(Struct, frozen=True, kw_only=True):
    """What a user allows an application."""

    client: ApplicationView
    scopes: list[str]
    granted_at: datetime


class TokenView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``POST /oauth/token``. ``expires_in`` in seconds."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str | None = None
    scope: str
    id_token: str | None = None


UserInfo = dict[str, Any]
"""Claims of OpenID Connect about a user."""
