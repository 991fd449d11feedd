"""Settings of GoTrue that have nothing to act on here: accepted, so that its configurations start.

None of them guards anything there. Those that do are honoured here, or stop the start.
"""

from __future__ import annotations

from typing import Final

WITHOUT_EFFECT: Final = frozenset(
    f"AUTH_{name}"
    for name in (
        # of its process, its database and its log
        "API_HOST",
        "API_PORT",
        "API_EXTERNAL_URL",
        "DB_DRIVER",
        "DB_DATABASE_URL",
        "DB_NAMESPACE",
        "DB_MAX_POOL_SIZE",
        "LOG_LEVEL",
        "OPERATOR_TOKEN",
        "RATE_LIMIT_HEADER",
        "SECURITY_SB_FORWARDED_FOR_ENABLED",
        # cookies, which no client asks for any more
        "COOKIE_KEY",
        "COOKIE_DURATION",
        "COOKIE_DOMAIN",
        # tokens: whose administrators are, and what signs, is fixed or has a setting of ours
        "JWT_ADMIN_GROUP_NAME",
        "JWT_ADMIN_ROLES",
        "JWT_DEFAULT_GROUP_NAME",
        "JWT_ISSUER",
        "JWT_KEY_ID",
        "JWT_VALID_METHODS",
        "JWT_VALIDMETHODS",
        # refresh tokens are derived and secrets sealed, always
        "SECURITY_REFRESH_TOKEN_ALGORITHM_VERSION",
        "SECURITY_REFRESH_TOKEN_UPGRADE_PERCENTAGE",
        "SECURITY_DB_ENCRYPTION_ENCRYPT",
        "SECURITY_DB_ENCRYPTION_ENCRYPTION_KEY_ID",
        "SECURITY_DB_ENCRYPTION_ENCRYPTION_KEY",
        # mails and lists of leaked passwords
        "MAILER_EXTERNAL_HOSTS",
        "SMTP_LOGGING_ENABLED",
        "PASSWORD_HIBP_USER_AGENT",
        "PASSWORD_HIBP_BLOOM_ENABLED",
        "PASSWORD_HIBP_BLOOM_ITEMS",
        "PASSWORD_HIBP_BLOOM_FALSE_POSITIVES",
        # switches of what is always there
        "MFA_ENABLED",
        "CUSTOM_OAUTH_ENABLED",
        "CUSTOM_OAUTH_MAX_PROVIDERS",
    )
)
