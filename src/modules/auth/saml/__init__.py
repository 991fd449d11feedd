"""SAML 2.0 service provider: people sign in through their organisation.

    browser ─POST /sso─▶ a request to the identity provider, and a row that waits for the answer
    browser ─POST /sso/saml/acs─▶ the answer: signature, issuer, audience, recipient, times and
                                  request are checked, and only what was signed is read

Sources: SAML 2.0 core, bindings, profiles and metadata (OASIS, 2005); OWASP SAML Security Cheat
Sheet; supabase/auth, ``internal/api/{sso,ssoadmin,saml,samlacs,samlassertion}.go``.
"""

from __future__ import annotations

from modules.auth.saml.assembly import build_saml

__all__ = ["build_saml"]
