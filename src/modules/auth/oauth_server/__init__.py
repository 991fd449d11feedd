"""OAuth 2.1 and OpenID Connect provider: other applications sign their users in here.

    application ─/oauth/authorize─▶ a request for access waits
    user        ─/oauth/authorizations/{id}, …/consent─▶ and is answered, or was long ago
    application ─/oauth/token─▶ the code becomes a session of the user that belongs to the application

The session is one like any other: it rotates, is listed, ends at once, and its
tokens carry ``client_id`` and ``scope`` for policies to look at.

Sources: draft-ietf-oauth-v2-1, OpenID Connect Core 1.0, RFC 7009, 7591, 7636, 8414, 8707
and 9207; supabase/auth, ``internal/api/oauthserver``.
"""

from __future__ import annotations

from modules.auth.oauth_server.assembly import build_oauth_server

__all__ = ["build_oauth_server"]
