"""``firebase auth:export users.json``, with the project's password hash parameters.

Firebase's hashes are scrypt and a key that the whole project shares. The key is
shown in the console under "Password hash parameters"; the text of that dialog,
in a file, is what `HashConfig.read` takes. It becomes part of each hash, until
the user signs in and gets one of ours.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from modules.auth.intake.records import (
    INFINITY,
    Entry,
    Imported,
    ImportedIdentity,
    Rejection,
    derived_id,
    instant,
    objects_of,
    text_of,
)
from modules.auth.intake.sources.streams import objects
from modules.auth.password_hashes import UnusableHash, check_usable
from monohull.kernel import clock
from monohull.kernel.refusals import WrongSetup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

PROVIDERS: Final = {"microsoft.com": "azure", "yahoo.com": "yahoo", "playgames.google.com": "google"}
OWN: Final = frozenset({"password", "phone", "emailLink"})
FACTORS: Final = "without the second factor, which has to be enrolled again"
_FIELD: Final = re.compile(
    r"\b(algorithm|base64_signer_key|base64_salt_separator|rounds|mem_cost)\b\W*([\w+/=-]+)"
)


class HashConfig(Struct, frozen=True):
    """What all hashes of a project have in common."""

    signer_key: str
    salt_separator: str
    rounds: int
    mem_cost: int

    @classmethod
    def read(cls, text: str) -> HashConfig:
        """Read the text that the console shows.

        Raises:
            WrongSetup: Something is missing or cannot be.
        """
        found = dict(_FIELD.findall(text))
        try:
            config = cls(
                found["base64_signer_key"],
                found.get("base64_salt_separator", ""),
                int(found["rounds"]),
                int(found["mem_cost"]),
            )
            check_usable(config.hash_of("c2FsdA==", "aGFzaA=="))
        except (KeyError, UnusableHash, ValueError) as error:
            raise WrongSetup(
                "the hash parameters of Firebase need base64_signer_key, base64_salt_separator, "
                "rounds and mem_cost"
            ) from error
        if found.get("algorithm", "SCRYPT") != "SCRYPT":
            raise WrongSetup(f"Firebase's algorithm {found['algorithm'][:40]} is not known; SCRYPT is")
        return config

    def hash_of(self, salt: str, hashed: str) -> str:
        """Return a hash in GoTrue's form."""
        cost = f"v=1,n={self.mem_cost},r={self.rounds},p=1,ss={self.salt_separator},sk={self.signer_key}"
        return f"$fbscrypt${cost}${salt}${hashed}"


def read_firebase(stream: TextIO, config: HashConfig | None) -> Iterator[Entry]:
    """Read an export; without ``config`` whoever has a password is refused.

    Raises:
        WrongSetup: The file is no JSON.
    """
    for where, found in objects(stream, key="users"):
        if isinstance(found, Rejection):
            yield Entry(where, found)
            continue
        try:
            yield Entry(where, _record(found, config), (FACTORS,) if found.get("mfaInfo") else ())
        except Rejection as rejection:
            yield Entry(where, rejection)


def _record(user: dict[str, Any], config: HashConfig | None) -> Imported:
    local_id = text_of(user, "localId")
    if local_id is None:
        raise Rejection("bad_value", "it has no localId")
    created_at = instant(user.get("createdAt"))
    email, phone = text_of(user, "email"), text_of(user, "phoneNumber")
    shown = {"name": text_of(user, "displayName"), "avatar_url": text_of(user, "photoUrl")}
    identities = tuple(
        identity
        for info in objects_of(user.get("providerUserInfo"))
        if (identity := _identity(info)) is not None
    )
    return Imported(
        id=derived_id("firebase", local_id),
        email=email,
        phone=phone,
        password_hash=_hash(user, config),
        email_confirmed_at=(created_at or clock.now()) if user.get("emailVerified") is True else None,
        phone_confirmed_at=created_at if phone else None,
        user_metadata={name: value for name, value in shown.items() if value},
        app_metadata={"imported_from": "firebase", "imported_id": local_id, **_claims(user)},
        identities=identities,
        created_at=created_at,
        last_sign_in_at=instant(user.get("lastSignedInAt")),
        banned_until=INFINITY if user.get("disabled") is True else None,
        is_anonymous=not (email or phone or identities),
    )


def _hash(user: dict[str, Any], config: HashConfig | None) -> str | None:
    hashed, salt = text_of(user, "passwordHash"), text_of(user, "salt")
    if hashed is None:
        return None
    if config is None or salt is None:
        raise Rejection("no_hash_parameters", "its password needs --hash-config, and a salt in the export")
    return config.hash_of(salt, hashed)


def _claims(user: dict[str, Any]) -> dict[str, Any]:
    """Return the custom claims, which Firebase writes as a text."""
    try:
        claims = json.loads(text_of(user, "customAttributes") or "{}")
    except (ValueError, RecursionError) as error:
        raise Rejection("no_json", "its customAttributes are no JSON") from error
    return {"claims": claims} if isinstance(claims, dict) and claims else {}


def _identity(info: dict[str, Any]) -> ImportedIdentity | None:
    provider, raw_id = text_of(info, "providerId"), text_of(info, "rawId", "federatedId")
    if provider is None or raw_id is None or provider in OWN:
        return None
    data = {
        "email": text_of(info, "email"),
        "name": text_of(info, "displayName"),
        "avatar_url": text_of(info, "photoUrl"),
    }
    return ImportedIdentity(
        provider=PROVIDERS.get(provider, provider.removesuffix(".com")),
        provider_id=raw_id,
        identity_data={name: value for name, value in data.items() if value},
    )
