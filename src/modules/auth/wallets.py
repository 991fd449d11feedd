"""Messages that wallets sign, and the signatures under them.

    message = domain " wants you to sign in with your Solana account:" LF address LF
              [ LF statement LF ] LF field *( LF field ) [ LF "Resources:" *( LF "- " URI ) ]
    field   = name ": " value

Names are URI, Version, Chain ID, Nonce, Issued At, Expiration Time, Not Before and
Request ID, in any order, each once. The address is the public key (Ed25519) in
base 58.

Sources: EIP-4361, which Solana's wallets follow; supabase/auth,
``internal/utilities/siws``.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

MIN_MESSAGE_CHARACTERS: Final = 64
MAX_MESSAGE_BYTES: Final = 20 * 1024
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ADDRESS: Final = re.compile(rf"[{_ALPHABET}]{{32,44}}")
_INVITATION: Final = " wants you to sign in with your Solana account:"
_FIELD: Final = re.compile(
    r"(URI|Version|Chain ID|Nonce|Issued At|Expiration Time|Not Before|Request ID): (.*)"
)
_CHAINS: Final = re.compile(r"(solana:)?(mainnet|devnet|testnet|localnet)")


class MessageError(ValueError):
    """The message is none that we take: says why."""


class SignedMessage(Struct, frozen=True, kw_only=True):
    """What somebody signed. Times are aware."""

    domain: str
    address: str
    uri: str
    issued_at: datetime
    statement: str | None = None
    chain_id: str | None = None
    expires_at: datetime | None = None
    not_before: datetime | None = None


def parse_message(text: str) -> SignedMessage:
    """Read a message.

    Raises:
        MessageError: It is too short, too long, or not of this form.
    """
    if len(text) < MIN_MESSAGE_CHARACTERS:
        raise MessageError("message is too short")
    if len(text.encode()) > MAX_MESSAGE_BYTES:
        raise MessageError("message must not exceed 20KB")
    lines = text.split("\n")
    domain = lines[0].removesuffix(_INVITATION)
    if domain == lines[0] or not re.fullmatch(r"[^\s/@]+", domain):
        raise MessageError(f"message first line does not end in {_INVITATION!r}")
    address = lines[1] if len(lines) > 1 else ""
    if not _ADDRESS.fullmatch(address) or len(base58(address)) != KEY_BYTES:
        raise MessageError("wallet address is not in base58 format")
    statement, fields = _rest(lines[2:])
    if fields.get("Version") != "1":
        raise MessageError("Version must be 1")
    if "URI" not in fields or "Issued At" not in fields:
        raise MessageError("message is missing URI or Issued At")
    chain_id = fields.get("Chain ID")
    if chain_id is not None and not _CHAINS.fullmatch(chain_id):
        raise MessageError("Chain ID is not valid")
    return SignedMessage(
        domain=domain,
        address=address,
        uri=fields["URI"],
        issued_at=_time(fields["Issued At"]),
        statement=statement,
        chain_id=chain_id,
        expires_at=_time(fields["Expiration Time"]) if "Expiration Time" in fields else None,
        not_before=_time(fields["Not Before"]) if "Not Before" in fields else None,
    )


def _rest(lines: list[str]) -> tuple[str | None, dict[str, str]]:
    if not lines or lines[0]:
        raise MessageError("third line must be empty")
    statement, at = None, 1
    if len(lines) > 1 and not _FIELD.fullmatch(lines[1]):
        statement, at = lines[1], 3
        if len(lines) <= at or lines[2]:
            raise MessageError("the line after the statement must be empty")
    fields: dict[str, str] = {}
    for number, line in enumerate(lines[at:], start=at):
        if line == "Resources:":
            if not all(item.startswith("- ") for item in lines[number + 1 :]):
                raise MessageError("a resource must begin with a hyphen")
            break
        found = _FIELD.fullmatch(line)
        if found is None or found[1] in fields:
            raise MessageError("a line is no field, or one that was there before")
        fields[found[1]] = found[2]
    return statement, fields


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise MessageError("a time is not of RFC 3339") from error
    if at.tzinfo is None:
        raise MessageError("a time has no zone")
    return at


def base58(text: str) -> bytes:
    """Decode base 58 in Bitcoin's alphabet.

    >>> base58("StV1DL6CwTryKyV")
    b'hello world'
    """
    number = 0
    for char in text:
        number = number * 58 + _ALPHABET.index(char)
    zeros = len(text) - len(text.lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")


def is_signed(message: str, address: str, signature: bytes) -> bool:
    """Say whether the key that ``address`` is signed the text."""
    try:
        Ed25519PublicKey.from_public_bytes(base58(address)).verify(signature, message.encode())
    except (InvalidSignature, ValueError):
        return False
    return True
