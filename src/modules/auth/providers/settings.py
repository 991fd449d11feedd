"""Settings of providers, under GoTrue's names with our prefix: the same seven of each.

The fields are made from the catalogue, so that a provider is one row there and
nothing else. mypy sees the few that every provider shares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct

from modules.auth.providers.catalogue import DESCRIPTIONS, Description
from monohull.kernel.settings import Secret

Url = Annotated[str, Meta(pattern=r"^https?://[^\s?#]+$")]


class LinkingSettings(Struct, frozen=True, kw_only=True):
    """What holds for every provider."""

    security_manual_linking_enabled: Annotated[
        bool, Meta(description="Let signed-in users add and remove identities of their own.")
    ] = False
    external_web3_ethereum_enabled: Annotated[bool, Meta(description="Sign-in with wallets of Ethereum.")] = (
        False
    )
    external_web3_ethereum_maximum_validity_duration: Annotated[
        str,
        Meta(
            pattern=r"^(\d+|(\d+(\.\d+)?(h|m|s))+)$", description="How old a message may be that one signed."
        ),
    ] = "10m"
    external_web3_ethereum_rpc: Annotated[
        tuple[Secret, ...],
        Meta(
            description="chain id=URL, comma-separated: JSON-RPC of nodes, asked whether an account that is"
            " a contract signed (EIP-1271). Unset: contracts do not sign in."
        ),
    ] = ()
    external_web3_solana_enabled: Annotated[bool, Meta(description="Sign-in with wallets of Solana.")] = False
    external_web3_solana_maximum_validity_duration: Annotated[
        str,
        Meta(
            pattern=r"^(\d+|(\d+(\.\d+)?(h|m|s))+)$", description="How old a message may be that one signed."
        ),
    ] = "10m"
    rate_limit_external: Annotated[
        float,
        Meta(gt=0, description="Requests to /authorize and /callback in 5 minutes from one address; ours."),
    ] = 150


def _fields(provider: Description) -> list[tuple[str, Any, Any]]:
    name = f"external_{provider.name}"
    where = "Where the realm is" if not provider.url else "Another host with the same interface"
    fields: list[tuple[str, Any, Any]] = [
        (f"{name}_enabled", Annotated[bool, Meta(description=f"Sign-in with {provider.name}.")], False),
        (
            f"{name}_client_id",
            Annotated[
                tuple[str, ...],
                Meta(description="Client id there; further ones are accepted as audience of id tokens."),
            ],
            (),
        ),
        (f"{name}_secret", Annotated[Secret | None, Meta(description="Client secret there.")], None),
        (
            f"{name}_redirect_uri",
            Annotated[
                Url | None,
                Meta(description="What the provider sends browsers back to; unset: our /callback."),
            ],
            None,
        ),
        (f"{name}_url", Annotated[Url | None, Meta(description=f"{where}.")], None),
        (
            f"{name}_email_optional",
            Annotated[bool, Meta(description="Accept people whose address it does not tell.")],
            False,
        ),
    ]
    if provider.is_oidc:
        skips = "Accept its id tokens at /token without a nonce, or with one that clients do not give."
        fields.append((f"{name}_skip_nonce_check", Annotated[bool, Meta(description=skips)], False))
    return fields


if TYPE_CHECKING:

    class ProviderSettings(LinkingSettings, frozen=True, kw_only=True):
        """``MONOHULL_AUTH_EXTERNAL_<PROVIDER>_…``."""

else:
    ProviderSettings = msgspec.defstruct(
        "ProviderSettings",
        [field for provider in DESCRIPTIONS for field in _fields(provider)],
        bases=(LinkingSettings,),
        module=__name__,
        frozen=True,
        kw_only=True,
    )


def setting(settings: ProviderSettings, provider: str, name: str, default: Any = None) -> Any:
    """Return what is set for a provider."""
    return getattr(settings, f"external_{provider}_{name}", default)
