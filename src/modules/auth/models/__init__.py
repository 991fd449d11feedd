"""Tables of the schema ``auth``, under the column names that Supabase projects refer to in their SQL.

Four things differ from the original, none of them visible to a policy or a
join: what opens something (refresh tokens, links, codes) is stored as a hash,
``refresh_tokens.user_id`` is a uuid, every reference to a user is a foreign
key, and times are always with zone. Columns of ``users`` for tokens stay empty:
they are here because seeds and dumps written for Supabase insert into them.
"""

from __future__ import annotations

from modules.auth.models.audit import AuditEntry
from modules.auth.models.factors import Challenge, Factor, RecoveryCode
from modules.auth.models.flows import FlowState, OauthClientState, OneTimeToken
from modules.auth.models.oauth_server import OauthAuthorization, OauthClient, OauthConsent
from modules.auth.models.passkeys import Passkey, PasskeyChallenge
from modules.auth.models.providers import CustomProvider
from modules.auth.models.sessions import AmrClaim, RefreshToken, Session
from modules.auth.models.sso import SamlAssertion, SamlProvider, SamlRelayState, SsoDomain, SsoProvider
from modules.auth.models.users import Identity, User

__all__ = [
    "AmrClaim",
    "AuditEntry",
    "Challenge",
    "CustomProvider",
    "Factor",
    "FlowState",
    "Identity",
    "OauthAuthorization",
    "OauthClient",
    "OauthClientState",
    "OauthConsent",
    "OneTimeToken",
    "Passkey",
    "PasskeyChallenge",
    "RecoveryCode",
    "RefreshToken",
    "SamlAssertion",
    "SamlProvider",
    "SamlRelayState",
    "Session",
    "SsoDomain",
    "SsoProvider",
    "User",
]
