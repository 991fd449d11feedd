"""The providers that a setting switches on, one description each.

An address that begins with ``/`` lies under ``url``. When the setting
``…_URL`` names another host (a GitHub or GitLab of one's own, a tenant, a
realm), every address moves there with its path.

Sources: the providers' documentation; scopes and claims as supabase/auth,
``internal/api/provider/*.go``, asks for and reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from modules.auth.providers.profiles import EmailList, Paths

if TYPE_CHECKING:
    from collections.abc import Mapping


class Description(Struct, frozen=True, kw_only=True):
    """What is the same for everybody who uses the provider.

    Attributes:
        name: As clients say it.
        url: Where it is; empty when each installation has its own.
        authorize, token: Addresses of OAuth 2.
        userinfo: Where a profile is read; without it the id token is the profile.
        emails: Where addresses are listed, when the profile does not vouch for its own.
        issuer: The ``iss`` of its id tokens; ``url`` when another host is set.
        jwks: Its public keys.
        discovery: A document that has both, where they depend on the installation.
        scopes: What is asked for always.
        separator: Between scopes.
        paths: Where answers have what.
        parameters: Added to the address that browsers are sent to.
        headers: Of requests for the profile; ``{client_id}`` is replaced.
        uses_pkce: Whether it takes a code challenge of ours.
        uses_basic: Whether our secret goes in a header and not in the body.
        api: Put before paths of other hosts when ``…_URL`` moves them to one.
    """

    name: str
    url: str
    authorize: str
    token: str
    userinfo: str | None = None
    emails: EmailList | None = None
    issuer: str | None = None
    jwks: str | None = None
    discovery: str | None = None
    scopes: tuple[str, ...] = ()
    separator: str = " "
    paths: Paths = Paths()
    parameters: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    uses_pkce: bool = True
    uses_basic: bool = False
    api: str = ""

    @property
    def is_oidc(self) -> bool:
        return self.issuer is not None or self.discovery is not None


_OPENID: Final = ("openid", "email", "profile")

DESCRIPTIONS: Final = (
    Description(
        name="apple",
        url="https://appleid.apple.com",
        authorize="/auth/authorize",
        token="/auth/token",
        issuer="https://appleid.apple.com",
        jwks="/auth/keys",
        scopes=("email", "name"),
        parameters={"response_mode": "form_post"},
        uses_pkce=False,
    ),
    Description(
        name="azure",
        url="https://login.microsoftonline.com/common",
        authorize="/oauth2/v2.0/authorize",
        token="/oauth2/v2.0/token",
        discovery="/v2.0/.well-known/openid-configuration",
        scopes=_OPENID,
        # tenants write any address into ``email``: only the owner of its domain is believed
        paths=Paths(is_verified=".xms_edov"),
    ),
    Description(
        name="bitbucket",
        url="https://bitbucket.org",
        authorize="/site/oauth2/authorize",
        token="/site/oauth2/access_token",
        userinfo="https://api.bitbucket.org/2.0/user",
        emails=EmailList(
            url="https://api.bitbucket.org/2.0/user/emails",
            items=".values",
            is_primary=".is_primary",
            is_verified=".is_confirmed",
        ),
        scopes=("account", "email"),
        paths=Paths(
            subject=".uuid", name=".display_name", username=".nickname", picture=".links.avatar.href"
        ),
        uses_basic=True,
        uses_pkce=False,
    ),
    Description(
        name="discord",
        url="https://discord.com",
        authorize="/api/oauth2/authorize",
        token="/api/oauth2/token",
        userinfo="/api/users/@me",
        scopes=("email", "identify"),
        paths=Paths(subject=".id", is_verified=".verified", name=".global_name", username=".username"),
    ),
    Description(
        name="facebook",
        url="https://www.facebook.com",
        authorize="/dialog/oauth",
        token="https://graph.facebook.com/oauth/access_token",
        userinfo="https://graph.facebook.com/me?fields=email,name,picture",
        scopes=("email",),
        separator=",",
        paths=Paths(subject=".id", is_verified=True, picture=".picture.data.url"),
        uses_pkce=False,
    ),
    Description(
        name="figma",
        url="https://www.figma.com",
        authorize="/oauth",
        token="https://api.figma.com/v1/oauth/token",
        userinfo="https://api.figma.com/v1/me",
        scopes=("current_user:read",),
        paths=Paths(subject=".id", is_verified=True, name=".handle", picture=".img_url"),
        uses_basic=True,
    ),
    Description(
        name="github",
        url="https://github.com",
        authorize="/login/oauth/authorize",
        token="/login/oauth/access_token",
        userinfo="https://api.github.com/user",
        emails=EmailList(url="https://api.github.com/user/emails"),
        scopes=("user:email",),
        paths=Paths(subject=".id", username=".login", picture=".avatar_url"),
        api="/api/v3",
    ),
    Description(
        name="gitlab",
        url="https://gitlab.com",
        authorize="/oauth/authorize",
        token="/oauth/token",
        userinfo="/api/v4/user",
        scopes=("read_user",),
        paths=Paths(subject=".id", verified_at=".confirmed_at", username=".username", picture=".avatar_url"),
    ),
    Description(
        name="google",
        url="https://accounts.google.com",
        authorize="/o/oauth2/v2/auth",
        token="https://oauth2.googleapis.com/token",
        issuer="https://accounts.google.com",
        jwks="https://www.googleapis.com/oauth2/v3/certs",
        scopes=_OPENID,
    ),
    Description(
        name="keycloak",
        url="",
        authorize="/protocol/openid-connect/auth",
        token="/protocol/openid-connect/token",
        discovery="/.well-known/openid-configuration",
        scopes=_OPENID,
    ),
    Description(
        name="linkedin_oidc",
        url="https://www.linkedin.com",
        authorize="/oauth/v2/authorization",
        token="/oauth/v2/accessToken",
        userinfo="https://api.linkedin.com/v2/userinfo",
        scopes=_OPENID,
        uses_pkce=False,
    ),
    Description(
        name="notion",
        url="https://api.notion.com",
        authorize="/v1/oauth/authorize",
        token="/v1/oauth/token",
        userinfo="/v1/users/me",
        paths=Paths(
            subject=".bot.owner.user.id",
            email=".bot.owner.user.person.email",
            is_verified=True,
            name=".bot.owner.user.name",
            picture=".bot.owner.user.avatar_url",
        ),
        parameters={"owner": "user"},
        headers={"Notion-Version": "2022-06-28"},
        uses_basic=True,
        uses_pkce=False,
    ),
    Description(
        name="slack_oidc",
        url="https://slack.com",
        authorize="/openid/connect/authorize",
        token="/api/openid.connect.token",
        issuer="https://slack.com",
        jwks="/openid/connect/keys",
        scopes=_OPENID,
        uses_pkce=False,
    ),
    Description(
        name="spotify",
        url="https://accounts.spotify.com",
        authorize="/authorize",
        token="/api/token",
        userinfo="https://api.spotify.com/v1/me",
        scopes=("user-read-email",),
        paths=Paths(
            subject=".id",
            is_verified=False,  # its own documentation says so
            name=".display_name",
            picture=".images[0].url",
        ),
        uses_basic=True,
    ),
    Description(
        name="twitch",
        url="https://id.twitch.tv",
        authorize="/oauth2/authorize",
        token="/oauth2/token",
        userinfo="https://api.twitch.tv/helix/users",
        scopes=("user:read:email",),
        paths=Paths(
            subject=".data[0].id",
            email=".data[0].email",
            is_verified=True,
            name=".data[0].display_name",
            username=".data[0].login",
            picture=".data[0].profile_image_url",
        ),
        headers={"Client-Id": "{client_id}"},
        uses_pkce=False,
    ),
    Description(
        name="zoom",
        url="https://zoom.us",
        authorize="/oauth/authorize",
        token="/oauth/token",
        userinfo="https://api.zoom.us/v2/users/me",
        paths=Paths(subject=".id", is_verified=".verified", name=".display_name", picture=".pic_url"),
        uses_basic=True,
    ),
)

CATALOGUE: Final[Mapping[str, Description]] = {row.name: row for row in DESCRIPTIONS}
