"""Checkpoints: the end of the chain, signed, and kept where the chain is not.

A chain that was cut short, or written anew from some entry on, is as good as
any other by itself. Who signs has the instance's secret, and who runs the
database has not, so that a signed end cannot be made to fit.

    signed = "monohull.audit.checkpoint.1" LF partition LF sequence LF hash LF made_at LF ("" / "retired")

Files are lines of JSON, one file a partition, and only added to.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime  # noqa: TC003 msgspec reads it
from typing import TYPE_CHECKING, Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from modules.audit.settings import AuditSettings
from monohull.kernel.crypto import derive_key
from monohull.kernel.home import jwt_secret
from monohull.kernel.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import asyncpg

    from monohull.kernel.settings import Settings

PURPOSE: Final = "audit.checkpoints"
SUFFIX: Final = ".jsonl"

_FORMAT: Final = "monohull.audit.checkpoint.1"
_INSERT: Final = """
    insert into monohull.audit_checkpoints (partition, sequence, hash, made_at, is_retired, key, signature)
    values ($1, $2, $3, $4, $5, $6, $7)
"""
_LIST: Final = """
    select partition, sequence, hash, made_at, is_retired, key, signature
    from monohull.audit_checkpoints order by id
"""


class Checkpoint(Struct, frozen=True, kw_only=True):
    """A place that the chain had reached.

    Attributes:
        partition: The month.
        sequence: Of its last entry then.
        hash: Of that entry, hexadecimal.
        made_at: When this was signed.
        is_retired: Whether the month was let go then, so that its entries are missing rightly.
        key: Public key that verifies the signature, base64url.
        signature: Ed25519, base64url.
    """

    partition: str
    sequence: int
    hash: str
    made_at: datetime
    is_retired: bool
    key: str
    signature: str


class CheckpointsUnreadable(Refused):
    """The folder of checkpoints holds something that is none."""

    exit_code = 1


class Signer:
    """Signs checkpoints, and knows whose signatures count.

    Args:
        secret: What the key is derived from.
        trusted: Public keys of earlier secrets.
    """

    def __init__(self, secret: str | bytes, trusted: Iterable[str] = ()) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(derive_key(secret, PURPOSE))
        self.key = _encode(self._private.public_key().public_bytes_raw())
        self._trusted = frozenset({self.key, *trusted})

    @classmethod
    def of(cls, settings: Settings) -> Signer:
        """Return the signer of an instance.

        Raises:
            Refused: There is no secret yet.
        """
        own = settings.of(AuditSettings)
        return cls(own.signing_secret or jwt_secret(settings), own.trusted_keys)

    def sign(self, partition: str, sequence: int, last: bytes, at: datetime, *, retired: bool) -> Checkpoint:
        """Return a checkpoint of an entry."""
        unsigned = Checkpoint(
            partition=partition,
            sequence=sequence,
            hash=last.hex(),
            made_at=at,
            is_retired=retired,
            key=self.key,
            signature="",
        )
        signature = _encode(self._private.sign(_message(unsigned)))
        return msgspec.structs.replace(unsigned, signature=signature)

    def fault(self, checkpoint: Checkpoint) -> str | None:
        """Return why a checkpoint does not count, or None when it does."""
        if checkpoint.key not in self._trusted:
            return (
                f"it is signed by the key {checkpoint.key}, which is not ours; where an earlier secret of "
                "this instance signed it, name that key in MONOHULL_AUDIT_TRUSTED_KEYS"
            )
        try:
            public = Ed25519PublicKey.from_public_bytes(_decode(checkpoint.key))
            public.verify(_decode(checkpoint.signature), _message(checkpoint))
        except (InvalidSignature, ValueError):
            return "its signature does not hold"
        return None


async def store(connection: asyncpg.Connection, checkpoint: Checkpoint) -> None:
    """Write a checkpoint into the database."""
    values = (getattr(checkpoint, name) for name in checkpoint.__struct_fields__)
    await connection.execute(_INSERT, *values)


async def list_stored(connection: asyncpg.Connection) -> Sequence[Checkpoint]:
    """Return the checkpoints of the database, in the order they were made."""
    return [Checkpoint(**dict(row)) for row in await connection.fetch(_LIST)]


def write_file(folder: Path, checkpoint: Checkpoint) -> Path:
    """Add a checkpoint to its partition's file in ``folder``, and return the file.

    Raises:
        OSError: It cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{checkpoint.partition}{SUFFIX}"
    with path.open("ab") as file:
        file.write(msgspec.json.encode(checkpoint) + b"\n")
    return path


def read_files(folder: Path) -> Sequence[Checkpoint]:
    """Return the checkpoints of every file in ``folder``, by partition and in the order they were made.

    Raises:
        CheckpointsUnreadable: A line is none.
    """
    found: list[Checkpoint] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            try:
                found.append(msgspec.json.decode(line, type=Checkpoint))
            except msgspec.DecodeError as error:
                raise CheckpointsUnreadable(f"{path}, line {number}: no checkpoint: {error}") from error
    return found


def _message(checkpoint: Checkpoint) -> bytes:
    lines: tuple[Any, ...] = (
        _FORMAT,
        checkpoint.partition,
        checkpoint.sequence,
        checkpoint.hash,
        checkpoint.made_at.isoformat(),
        "retired" if checkpoint.is_retired else "",
    )
    return "\n".join(str(line) for line in lines).encode()


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
