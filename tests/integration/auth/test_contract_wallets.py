"""``grant_type=web3`` for accounts that are contracts, which a node on loopback answers for."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from sha3 import keccak_256

from monohull.kernel.settings import SettingsError
from tests.application import running_app
from tests.integration.auth.people import People
from tests.integration.auth.post import CONFIRMING
from tests.integration.auth.test_web3 import EthereumWallet, ago, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAGIC = "1626ba7e"
CHAINS = ("1", "137")
ELSEWHERE = "99"
"""A network whose node is one of another network."""


class Node:
    """A node of each network: contracts by their address, with the signatures that each takes."""

    def __init__(self) -> None:
        self.url = ""
        self.contracts: dict[str, set[bytes]] = {}
        self.answers: list[Any] = []
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        path = head.split(" ")[1].strip("/")
        length = next(
            int(line.split(":")[1]) for line in head.splitlines() if line.startswith("content-length")
        )
        call = json.loads(await reader.readexactly(length))
        self.asked.append(call["method"])
        answer: Any
        if call["method"] == "eth_chainId":
            answer = {"result": "0x89" if path == "137" else "0x1"}
        else:
            answer = self.answers.pop(0) if self.answers else self.judge(*call["params"])
        content = answer if isinstance(answer, bytes) else json.dumps({"id": call["id"], **answer}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(content))
        writer.write(content)
        await writer.drain()
        writer.close()

    def judge(self, call: dict[str, str], block: str) -> dict[str, Any]:
        assert block == "latest"
        data = bytes.fromhex(call["data"].removeprefix("0x"))
        assert data[:4] == keccak_256(b"isValidSignature(bytes32,bytes)").digest()[:4]
        assert int.from_bytes(data[36:68]) == 64
        size = int.from_bytes(data[68:100])
        assert len(data) == 100 + -(-size // 32) * 32
        taken = self.contracts.get(call["to"])
        if taken is None:
            return {"result": "0x"}
        if data[4:36] + data[100 : 100 + size] in taken:
            return {"result": f"0x{MAGIC}{'00' * 28}"}
        return {"error": {"code": 3, "message": "execution reverted: not mine"}}


class Contract(EthereumWallet):
    """An account whose signatures are what it says; ``size`` bytes of them."""

    def __init__(self, node: Node, size: int = 130) -> None:
        super().__init__()
        self.address = f"0x{keccak_256(self.address.encode()).hexdigest()[-40:]}"
        self.node, self.size = node, size

    def sign(self, message: str) -> str:
        text = message.encode()
        digest = keccak_256(b"\x19Ethereum Signed Message:\n%d" % len(text) + text).digest()
        signature = keccak_256(text + self.address.encode()).digest() * (self.size // 32 + 1)
        self.node.contracts.setdefault(self.address, set()).add(digest + signature[: self.size])
        return f"0x{signature[: self.size].hex()}"


@asynccontextmanager
async def running_node() -> AsyncIterator[Node]:
    node = Node()
    server = await asyncio.start_server(node.serve, "127.0.0.1", 0)
    async with server:
        node.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield node


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node() -> AsyncIterator[Node]:
    async with running_node() as node:
        yield node


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(shared_connections: Connections, node: Node) -> AsyncIterator[People]:
    endpoints = ",".join(f"{chain}={node.url}/{chain}" for chain in (*CHAINS, ELSEWHERE, "5"))
    settings = {
        **CONFIRMING,
        "auth_external_web3_ethereum_enabled": "true",
        "auth_external_web3_ethereum_rpc": endpoints.replace(f"5={node.url}", "5=http://127.0.0.1:1"),
        "outbound_allowed": "127.0.0.1",
    }
    async with running_app(shared_connections, **settings) as served:
        yield People(served)


@pytest.mark.parametrize("size", [1, 65, 8192])
async def test_a_contract_signs_in(people: People, node: Node, size: int) -> None:
    wallet = Contract(node, size)
    answer = await send(people, wallet, wallet.message())
    assert answer.status_code == 200, answer.text
    user = answer.json()["user"]
    assert user["identities"][0]["id"] == f"web3:ethereum:1:{wallet.address}"
    assert user["user_metadata"]["custom_claims"]["network"] == "1"
    again = await send(people, wallet, wallet.message(Nonce="def"))
    assert again.json()["user"]["id"] == user["id"]


async def test_the_same_address_on_another_network_is_somebody_else(people: People, node: Node) -> None:
    wallet = Contract(node)
    found = [(await send(people, wallet, wallet.message(Chain_ID=chain))).json() for chain in CHAINS]
    assert len({answer["user"]["id"] for answer in found}) == len(CHAINS)


async def test_a_message_works_once(people: People, node: Node) -> None:
    wallet = Contract(node)
    message = wallet.message()
    assert (await send(people, wallet, message)).status_code == 200
    again = await send(people, wallet, message)
    assert (again.status_code, again.json()["code"]) == (400, "invalid_grant")


async def test_a_wallet_with_a_key_asks_nobody(people: People, node: Node) -> None:
    node.asked.clear()
    wallet = EthereumWallet()
    answer = await send(people, wallet, wallet.message())
    assert answer.json()["user"]["identities"][0]["id"] == f"web3:ethereum:{wallet.address}"
    stale = await send(people, Contract(node), Contract(node).message(Issued_At=ago(minutes=12)))
    assert (stale.status_code, stale.json()["code"], node.asked) == (400, "invalid_grant", [])


NO = {
    "another signature": {"error": {"code": 3, "message": "execution reverted"}},
    "a node of old": {"error": {"code": -32000, "message": "VM Exception: revert"}},
    "no contract": {"result": "0x"},
    "another answer": {"result": f"0xffffffff{'00' * 28}"},
    "half an answer": {"result": f"0x{MAGIC}"},
    "an answer and more": {"result": f"0x{MAGIC}{'00' * 27}01"},
}


@pytest.mark.parametrize("answer", list(NO.values()), ids=list(NO))
async def test_what_a_contract_does_not_sign(people: People, node: Node, answer: Any) -> None:
    wallet = Contract(node)
    await send(people, wallet, wallet.message(Nonce="the network is known"))
    node.answers.append(answer)
    refused = await send(people, wallet, wallet.message())
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_grant"), refused.text


UNANSWERED = {
    "busy": {"error": {"code": -32005, "message": "limit exceeded"}},
    "nothing": {},
    "a number": {"result": 1},
    "no digits": {"result": "0xzz"},
    "no JSON": b"<html>",
    "a list": b"[]",
    "an error of no shape": {"error": "revert"},
}


@pytest.mark.parametrize("answer", list(UNANSWERED.values()), ids=list(UNANSWERED))
async def test_a_node_that_does_not_say(people: People, node: Node, answer: Any) -> None:
    wallet = Contract(node)
    await send(people, wallet, wallet.message(Nonce="the network is known"))
    message = wallet.message()
    node.answers.append(answer)
    refused = await send(people, wallet, message)
    assert (refused.status_code, refused.json()["code"]) == (503, "web3_chain_unavailable"), refused.text
    assert (await send(people, wallet, message)).status_code == 200, "nothing was spent"


@pytest.mark.parametrize("chain", [ELSEWHERE, "5"], ids=["of another network", "away"])
async def test_a_node_that_is_none(people: People, node: Node, chain: str) -> None:
    wallet = Contract(node)
    refused = await send(people, wallet, wallet.message(Chain_ID=chain))
    assert (refused.status_code, refused.json()["code"]) == (503, "web3_chain_unavailable"), refused.text


@pytest.mark.parametrize("signature", ["0x", "0x1", "0x" + "11" * 8193, "AA", "0xgg"])
async def test_what_is_no_signature(people: People, node: Node, signature: str) -> None:
    refused = await send(people, Contract(node), Contract(node).message(), signature=signature)
    assert (refused.status_code, refused.json()["code"]) == (400, "validation_failed"), refused.text


async def test_networks_without_a_node_know_keys_only(people: People, node: Node) -> None:
    wallet = Contract(node, 65)
    refused = await send(people, wallet, wallet.message(Chain_ID="10"))
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_grant")
    longer = Contract(node)
    refused = await send(people, longer, longer.message(Chain_ID="10"))
    assert (refused.status_code, refused.json()["code"]) == (400, "validation_failed")


@pytest.mark.parametrize(
    "endpoints",
    ["https://key@node.example", "0=https://node.example", "1=https://a.example,1=https://b.example"],
)
async def test_endpoints_that_are_none(connections: Connections, endpoints: str) -> None:
    with pytest.raises(SettingsError, match="WEB3_ETHEREUM_RPC") as caught:
        async with running_app(connections, auth_external_web3_ethereum_rpc=endpoints):
            pass
    assert "example" not in str(caught.value).replace("node.example.com", "")
