"""Messages that wallets sign, and the signatures under them: one file for each chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.auth.wallets import ethereum, solana
from modules.auth.wallets.contracts import ChainUnavailable, Contracts
from modules.auth.wallets.messages import Chain, MessageError, SignedMessage, parse_message

if TYPE_CHECKING:
    from collections.abc import Mapping

CHAINS: Final[Mapping[str, Chain]] = {chain.name: chain for chain in (ethereum.CHAIN, solana.CHAIN)}

__all__ = [
    "CHAINS",
    "Chain",
    "ChainUnavailable",
    "Contracts",
    "MessageError",
    "SignedMessage",
    "parse_message",
]
