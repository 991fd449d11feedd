"""Accounts of Ethereum that are contracts: the chain says whether they agree, by a node that is asked.

    call    = isValidSignature(bytes32 hash, bytes signature), 0x1626ba7e
    agreed  = 0x1626ba7e and 28 bytes of nothing; anything else, or an execution that ends, is a no

One address can be different people's contracts on different networks: the network is part of who signed
in, and a node that serves another network than it is set for is not believed. What is not on the chain yet
(EIP-6492) cannot sign in.

Sources: EIP-1271, EIP-1474 (JSON-RPC), EIP-695 (``eth_chainId``), the ABI of Solidity.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from modules.auth.wallets.ethereum import digest
from modules.auth.wallets.messages import MessageError
from monohull.kernel.errors import Unavailable
from monohull.kernel.observation import SILENT, Level, Observation
from monohull.kernel.outbound import OutboundFailed, OutboundLimits, OutboundRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from monohull.kernel.observation import Observer
    from monohull.kernel.outbound import Outbound

MAX_SIGNATURE_BYTES: Final = 8192
LIMITS: Final = OutboundLimits(
    connect_seconds=3.0, read_seconds=5.0, total_seconds=6.0, response_bytes=100_000
)
WORD_BYTES: Final = 32
OK: Final = 200
EXECUTION_REVERTED: Final = 3
"""What nodes answer since Geth 1.9.15; older ones say it in words."""

_MAGIC: Final = bytes.fromhex("1626ba7e")
_SIGNATURE: Final = re.compile(r"0x(?:[0-9A-Fa-f]{2})+")
_ENDPOINT: Final = re.compile(r"([1-9][0-9]{0,19})=(https?://\S+)")
_EXECUTION_ENDED: Final = re.compile("revert|invalid opcode|out of gas|stack (under|over)flow", re.IGNORECASE)


class ChainNotAnswered(Observation, frozen=True):
    """A node did not say whether a contract agrees, so that nobody was signed in."""

    event: ClassVar[str] = "auth.chain_not_answered"
    level: ClassVar[Level] = "error"

    chain_id: str
    reason: str


class ChainUnavailable(Unavailable):
    """Only the chain can say whether the account signed, and its node does not answer."""

    code = "web3_chain_unavailable"
    hint = "Try again in a moment. The log says what the node did."


class Contracts:
    """Asks nodes.

    Args:
        outbound: Makes the requests.
        endpoints: ``<chain id>=<URL of JSON-RPC>``, one for each network.
        observer: Told when there is no answer.

    Raises:
        ValueError: An endpoint is none, or a network has two. Says nothing of the URL, which may hold a key.
    """

    def __init__(self, outbound: Outbound, endpoints: Iterable[str], observer: Observer = SILENT) -> None:
        self._outbound = outbound
        self._urls = _read(endpoints)
        self._observer = observer
        self._known: set[str] = set()

    def can_ask(self, chain_id: str | None) -> bool:
        """Say whether there is a node of this network."""
        return chain_id in self._urls

    def read_signature(self, text: str) -> bytes:
        """Return the bytes of a signature: what they mean is the contract's to say.

        Raises:
            MessageError: It is none.
        """
        if len(text) > 2 + 2 * MAX_SIGNATURE_BYTES or not _SIGNATURE.fullmatch(text):
            raise MessageError(f"signature must be 0x and at most {MAX_SIGNATURE_BYTES} bytes in hexadecimal")
        return bytes.fromhex(text[2:])

    async def agrees(self, message: str, address: str, signature: bytes, chain_id: str) -> bool:
        """Say whether the contract at ``address`` takes ``signature`` for its own.

        Raises:
            ChainUnavailable: 503, nobody can say.
        """
        if chain_id not in self._known:
            found = await self._call(chain_id, "eth_chainId", [])
            if found is None or int.from_bytes(found) != int(chain_id):
                raise self._unavailable(chain_id, "its node serves another network")
            self._known.add(chain_id)
        asked = {"to": address, "data": f"0x{encode_call(digest(message), signature).hex()}"}
        answer = await self._call(chain_id, "eth_call", [asked, "latest"])
        return answer is not None and answer[:WORD_BYTES] == _MAGIC.ljust(WORD_BYTES, b"\0")

    async def _call(self, chain_id: str, method: str, parameters: list[Any]) -> bytes | None:
        """Return what a node answers, None when the contract ended without an answer."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        try:
            reply = await self._outbound.request(
                "POST",
                self._urls[chain_id],
                headers={"Content-Type": "application/json", "Accept": "application/json"},
                body=msgspec.json.encode(request),
                limits=LIMITS,
            )
        except (OutboundFailed, OutboundRefused) as error:
            raise self._unavailable(chain_id, f"{type(error).__name__}: {error.reason}") from error
        try:
            answer = msgspec.json.decode(reply.body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            answer = {}
        if _is_ended(answer.get("error")):
            return None
        try:
            result = answer["result"]
            return bytes.fromhex(_even(result.removeprefix("0x")))
        except (KeyError, AttributeError, ValueError) as error:
            raise self._unavailable(chain_id, _describe(reply.status, answer)) from error

    def _unavailable(self, chain_id: str, reason: str) -> ChainUnavailable:
        self._observer.observe(ChainNotAnswered(chain_id=chain_id, reason=reason))
        return ChainUnavailable("The chain cannot be asked at the moment, so nobody was signed in.")


def encode_call(hashed: bytes, signature: bytes) -> bytes:
    """Return a call of ``isValidSignature`` as the ABI has it: hash, offset, length, bytes to whole words.

    >>> encode_call(b"h" * 32, b"s" * 65).hex()[-64:]
    '7300000000000000000000000000000000000000000000000000000000000000'
    """
    words = -(-len(signature) // WORD_BYTES) * WORD_BYTES
    numbers = (2 * WORD_BYTES).to_bytes(WORD_BYTES) + len(signature).to_bytes(WORD_BYTES)
    return _MAGIC + hashed + numbers + signature.ljust(words, b"\0")


def _read(endpoints: Iterable[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for number, endpoint in enumerate(endpoints, start=1):
        parts = _ENDPOINT.fullmatch(endpoint)
        if parts is None:
            raise ValueError(f"endpoint {number} is not <chain id>=<URL>, as in 1=https://node.example.com")
        if parts[1] in found:
            raise ValueError(f"network {parts[1]} has two endpoints")
        found[parts[1]] = parts[2]
    return found


def _is_ended(error: Any) -> bool:
    """Say whether a node ran the contract and it gave no answer."""
    if not isinstance(error, dict):
        return False
    return error.get("code") == EXECUTION_REVERTED or bool(
        _EXECUTION_ENDED.search(str(error.get("message"))[:500])
    )


def _even(digits: str) -> str:
    return digits.zfill(len(digits) + len(digits) % 2)


def _describe(status: int, answer: Mapping[str, Any]) -> str:
    error = answer.get("error")
    if isinstance(error, dict):
        return f"it answers with the error {str(error.get('code'))[:20]}"
    return f"it answers with status {status} and no result"
