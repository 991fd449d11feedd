"""What wallets show before they sign it.

    message = [ scheme "://" ] domain " wants you to sign in with your " chain " account:" LF address LF
              LF [ statement LF LF ] field *( LF field ) [ LF "Resources:" *( LF "- " URI ) ]
    field   = name ": " value

Names are URI, Version, Chain ID, Nonce, Issued At, Expiration Time, Not Before and
Request ID, in any order, each once. Wallets of Ethereum leave the empty line after
the statement in its place when there is no statement.

Sources: EIP-4361, which Solana's wallets follow; supabase/auth,
``internal/utilities/{siwe,siws}``.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

MIN_MESSAGE_CHARACTERS: Final = 64
MAX_MESSAGE_BYTES: Final = 20 * 1024

_OPENING: Final = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*)://)?([^\s/@]+)")
_FIELD: Final = re.compile(
    r"(URI|Version|Chain ID|Nonce|Issued At|Expiration Time|Not Before|Request ID): (.*)"
)


class MessageError(ValueError):
    """The message or its signature is none that we take: says why."""


class Chain(Struct, frozen=True, kw_only=True):
    """What differs from chain to chain.

    Attributes:
        name: As the wire has it.
        title: As messages have it.
        networks: What the Chain ID of a message may be.
        needs_network: Whether a message has to have one.
        read_address: Returns an address in its normal form, or raises `MessageError`.
        read_signature: Returns the bytes of a signature as clients write it, or raises `MessageError`.
        is_signed: Whether the key of an address, in normal form, signed the text.
    """

    name: str
    title: str
    networks: re.Pattern[str]
    needs_network: bool
    read_address: Callable[[str], str]
    read_signature: Callable[[str], bytes]
    is_signed: Callable[[str, str, bytes], bool]


class SignedMessage(Struct, frozen=True, kw_only=True):
    """What somebody signed. Times are aware."""

    scheme: str | None
    domain: str
    address: str
    uri: str
    issued_at: datetime
    statement: str | None = None
    chain_id: str | None = None
    expires_at: datetime | None = None
    not_before: datetime | None = None


def parse_message(text: str, chain: Chain) -> SignedMessage:
    """Read a message.

    Raises:
        MessageError: It is too short, too long, or not of this form.
    """
    if len(text) < MIN_MESSAGE_CHARACTERS:
        raise MessageError("message is too short")
    if len(text.encode()) > MAX_MESSAGE_BYTES:
        raise MessageError("message must not exceed 20KB")
    lines = text.split("\n")
    invitation = f" wants you to sign in with your {chain.title} account:"
    origin = lines[0].removesuffix(invitation)
    opening = _OPENING.fullmatch(origin)
    if origin == lines[0] or opening is None:
        raise MessageError(f"message first line does not end in {invitation!r}")
    address = chain.read_address(lines[1] if len(lines) > 1 else "")
    statement, fields = _rest(lines[2:])
    if fields.get("Version") != "1":
        raise MessageError("Version must be 1")
    if "URI" not in fields or "Issued At" not in fields:
        raise MessageError("message is missing URI or Issued At")
    return SignedMessage(
        scheme=opening[1],
        domain=opening[2],
        address=address,
        uri=fields["URI"],
        issued_at=_time(fields["Issued At"]),
        statement=statement,
        chain_id=_network(fields.get("Chain ID"), chain),
        expires_at=_time(fields["Expiration Time"]) if "Expiration Time" in fields else None,
        not_before=_time(fields["Not Before"]) if "Not Before" in fields else None,
    )


def _network(chain_id: str | None, chain: Chain) -> str | None:
    if chain_id is None and chain.needs_network:
        raise MessageError("message is missing Chain ID")
    if chain_id is not None and not chain.networks.fullmatch(chain_id):
        raise MessageError("Chain ID is not valid")
    return chain_id


def _rest(lines: list[str]) -> tuple[str | None, dict[str, str]]:
    if not lines or lines[0]:
        raise MessageError("third line must be empty")
    statement, at = None, 1
    if len(lines) > 1 and not lines[1]:
        at = 2
    elif len(lines) > 1 and not _FIELD.fullmatch(lines[1]):
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
