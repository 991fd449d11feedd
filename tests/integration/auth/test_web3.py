"""``grant_type=web3``: messages that wallets signed."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from coincurve import PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sha3 import keccak_256

from monohull.kernel import clock
from tests.application import running_app
from tests.integration.auth.people import People
from tests.integration.auth.post import CONFIRMING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    import httpx

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(shared_connections: Connections) -> AsyncIterator[People]:
    chains = {f"auth_external_web3_{name}_enabled": "true" for name in ("solana", "ethereum")}
    settings = {**CONFIRMING, **chains}
    async with running_app(shared_connections, **settings) as served:
        yield People(served)


class Wallet:
    """A key pair of Solana, and the messages that wallets make."""

    title, chain = "Solana", "solana"

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        raw = self.key.public_key().public_bytes_raw()
        number, text = int.from_bytes(raw, "big"), ""
        while number:
            number, digit = divmod(number, 58)
            text = ALPHABET[digit] + text
        self.address = "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text

    def message(self, **fields: str | None) -> str:
        """Write a message; None leaves a field out."""
        at = clock.now()
        right: dict[str, str | None] = {
            "Version": "1",
            "URI": "https://app.example.com/sign-in",
            "Issued At": stamp(at),
            "Chain ID": "solana:mainnet",
            "Nonce": "abc",
        }
        domain = fields.pop("domain", None) or "app.example.com"
        merged = {**right, **{name.replace("_", " "): value for name, value in fields.items()}}
        lines = [f"{name}: {value}" for name, value in merged.items() if value is not None]
        hello = f" wants you to sign in with your {self.title} account:"
        return "\n".join([f"{domain}{hello}", self.address, "", "Sign in to the shop", "", *lines])

    def sign(self, message: str) -> str:
        return urlsafe_b64encode(self.key.sign(message.encode())).rstrip(b"=").decode()


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")


async def send(people: People, wallet: Wallet, message: str, **body: Any) -> httpx.Response:
    right = {"chain": wallet.chain, "message": message, "signature": wallet.sign(message)}
    return await people.grant("web3", **{**right, **body})


async def test_a_wallet_signs_in(people: People) -> None:
    wallet = Wallet()
    answer = await send(people, wallet, wallet.message())
    assert answer.status_code == 200, answer.text
    user = answer.json()["user"]
    assert (user["email"], user["is_anonymous"]) == ("", False)
    assert user["app_metadata"] == {"provider": "web3", "providers": ["web3"]}
    assert user["identities"][0]["id"] == f"web3:solana:{wallet.address}"
    assert user["user_metadata"]["custom_claims"] == {
        "address": wallet.address,
        "chain": "solana",
        "network": "solana:mainnet",
        "domain": "app.example.com",
        "statement": "Sign in to the shop",
    }
    claims = await people.claims(answer.json()["access_token"])
    assert [amr["method"] for amr in claims["amr"]] == ["web3"]
    again = await send(people, wallet, wallet.message(Nonce="def"))
    assert again.json()["user"]["id"] == user["id"]


async def test_a_message_works_once(people: People) -> None:
    wallet = Wallet()
    message = wallet.message()
    assert (await send(people, wallet, message)).status_code == 200
    padded = wallet.sign(message) + "=="
    for signature in (wallet.sign(message), padded):
        again = await send(people, wallet, message, signature=signature)
        assert (again.status_code, again.json()["code"]) == (400, "invalid_grant")


async def test_a_message_without_a_statement(people: People) -> None:
    wallet = Wallet()
    lines = [line for line in wallet.message().split("\n") if line != "Sign in to the shop"]
    message = "\n".join([*lines[:3], *lines[4:], "Resources:", "- https://app.example.com/terms"])
    assert (await send(people, wallet, message)).status_code == 200


def ago(**length: float) -> str:
    return stamp(clock.now() - timedelta(**length))


REFUSED: dict[str, tuple[Callable[[Wallet], str], dict[str, Any], str]] = {
    "of another application": (lambda w: w.message(URI="https://evil.example.net/"), {}, "invalid_grant"),
    "another domain": (lambda w: w.message(domain="evil.example.net"), {}, "invalid_grant"),
    "signed by another": (lambda w: w.message(), {"signature": "A" * 86}, "invalid_grant"),
    "old": (lambda w: w.message(Issued_At=ago(minutes=12)), {}, "invalid_grant"),
    "of tomorrow": (lambda w: w.message(Issued_At=ago(days=-1)), {}, "invalid_grant"),
    "expired": (lambda w: w.message(Expiration_Time=ago(seconds=1)), {}, "invalid_grant"),
    "not yet": (lambda w: w.message(Not_Before=ago(hours=-1)), {}, "invalid_grant"),
    "short": (lambda _: "hello", {}, "validation_failed"),
    "long": (lambda w: w.message(Nonce="x" * 21_000), {}, "validation_failed"),
    "of Ethereum": (lambda w: w.message().replace("Solana", "Ethereum"), {}, "validation_failed"),
    "another version": (lambda w: w.message(Version="2"), {}, "validation_failed"),
    "no URI": (lambda w: w.message(URI=None), {}, "validation_failed"),
    "no time": (lambda w: w.message(Issued_At=None), {}, "validation_failed"),
    "no form of a time": (lambda w: w.message(Issued_At="now"), {}, "validation_failed"),
    "a time without zone": (lambda w: w.message(Issued_At="2026-01-01T00:00:00"), {}, "validation_failed"),
    "another chain inside": (lambda w: w.message(Chain_ID="eip155:1"), {}, "validation_failed"),
    "a field twice": (lambda w: w.message() + "\nNonce: x", {}, "validation_failed"),
    "something at the end": (lambda w: w.message() + "\nhello", {}, "validation_failed"),
    "NUL": (lambda w: w.message(Nonce="a\0"), {}, "validation_failed"),
    "no address": (lambda w: w.message().replace(w.address, "0" * 40), {}, "validation_failed"),
    "half a key": (lambda w: w.message().replace(w.address, "2" * 33), {}, "validation_failed"),
    "no signature": (lambda w: w.message(), {"signature": ""}, "validation_failed"),
    "another chain": (lambda w: w.message(), {"chain": "bitcoin"}, "web3_unsupported_chain"),
    "no chain": (lambda w: w.message(), {"chain": None}, "web3_unsupported_chain"),
}


@pytest.mark.parametrize(("write", "body", "code"), list(REFUSED.values()), ids=list(REFUSED))
async def test_messages_that_open_nothing(
    people: People, write: Callable[[Wallet], str], body: dict[str, Any], code: str
) -> None:
    wallet = Wallet()
    answer = await send(people, wallet, write(wallet), **body)
    assert (answer.status_code, answer.json()["code"]) == (400, code), answer.text


class EthereumWallet(Wallet):
    """A key pair of Ethereum."""

    title, chain = "Ethereum", "ethereum"

    def __init__(self) -> None:
        self.secret = PrivateKey()
        public = self.secret.public_key.format(compressed=False)[1:]
        self.address = f"0x{keccak_256(public).hexdigest()[-40:]}"

    def message(self, **fields: str | None) -> str:
        return super().message(**{"Chain_ID": "1", **fields})

    def sign(self, message: str) -> str:
        text = message.encode()
        digest = keccak_256(b"\x19Ethereum Signed Message:\n%d" % len(text) + text).digest()
        raw = self.secret.sign_recoverable(digest, hasher=None)
        return f"0x{raw[:64].hex()}{raw[64] + 27:02x}"


async def test_a_wallet_of_ethereum_signs_in(people: People) -> None:
    wallet = EthereumWallet()
    answer = await send(people, wallet, wallet.message())
    assert answer.status_code == 200, answer.text
    user = answer.json()["user"]
    assert user["identities"][0]["id"] == f"web3:ethereum:{wallet.address}"
    assert user["app_metadata"] == {"provider": "web3", "providers": ["web3"]}
    assert user["user_metadata"]["custom_claims"] == {
        "address": wallet.address,
        "chain": "ethereum",
        "network": "1",
        "domain": "app.example.com",
        "statement": "Sign in to the shop",
    }
    shouted = wallet.address.upper().replace("X", "x")
    again = await send(people, wallet, wallet.message(Nonce="12345678").replace(wallet.address, shouted))
    assert again.json()["user"]["id"] == user["id"], "the case of an address is a checksum"


async def test_what_wallets_of_ethereum_write_differently(people: People) -> None:
    """No statement leaves two empty lines; the scheme stands before the domain; devices write v as 0 or 1."""
    wallet = EthereumWallet()
    message = wallet.message(domain="https://app.example.com").replace("Sign in to the shop\n\n", "\n")
    signature = wallet.sign(message)
    signature = f"{signature[:-2]}{int(signature[-2:], 16) - 27:02x}"
    answer = await send(people, wallet, message, signature=signature)
    assert answer.status_code == 200, answer.text
    assert answer.json()["user"]["user_metadata"]["custom_claims"]["statement"] == ""
    with_v = await send(people, wallet, message)
    assert (with_v.status_code, with_v.json()["code"]) == (400, "invalid_grant"), "it works once"


ETHEREUM_REFUSED: dict[str, tuple[Callable[[EthereumWallet], str], dict[str, Any], str]] = {
    "signed by another": (lambda w: w.message(), {"signature": EthereumWallet().sign("x")}, "invalid_grant"),
    "no curve point": (lambda w: w.message(), {"signature": f"0x{'ff' * 64}1b"}, "invalid_grant"),
    "nothing": (lambda w: w.message(), {"signature": f"0x{'00' * 64}1b"}, "invalid_grant"),
    "v of nobody": (lambda w: w.message(), {"signature": f"0x{'11' * 64}1d"}, "invalid_grant"),
    "base64": (lambda w: w.message(), {"signature": "A" * 86}, "validation_failed"),
    "too short": (lambda w: w.message(), {"signature": f"0x{'11' * 64}"}, "validation_failed"),
    "of Solana": (lambda w: w.message().replace("Ethereum", "Solana"), {}, "validation_failed"),
    "no network": (lambda w: w.message(Chain_ID=None), {}, "validation_failed"),
    "another network": (lambda w: w.message(Chain_ID="solana:mainnet"), {}, "validation_failed"),
    "another scheme": (lambda w: w.message(domain="http://app.example.com"), {}, "invalid_grant"),
    "of another application": (lambda w: w.message(URI="https://evil.example.net/"), {}, "invalid_grant"),
    "old": (lambda w: w.message(Issued_At=ago(minutes=12)), {}, "invalid_grant"),
    "no address": (lambda w: w.message().replace(w.address, "0x12"), {}, "validation_failed"),
}


@pytest.mark.parametrize(
    ("write", "body", "code"), list(ETHEREUM_REFUSED.values()), ids=list(ETHEREUM_REFUSED)
)
async def test_messages_of_ethereum_that_open_nothing(
    people: People, write: Callable[[EthereumWallet], str], body: dict[str, Any], code: str
) -> None:
    wallet = EthereumWallet()
    answer = await send(people, wallet, write(wallet), **body)
    assert (answer.status_code, answer.json()["code"]) == (400, code), answer.text


async def test_it_is_off_unless_it_is_on(connections: Connections) -> None:
    async with running_app(connections) as served:
        answer = await People(served).grant("web3", chain="solana", message="x", signature="y")
        assert (answer.status_code, answer.json()["code"]) == (422, "web3_provider_disabled")
        assert answer.json()["message"] == "Web3 provider is disabled"
    for on, off in (("solana", "Ethereum"), ("ethereum", "Solana")):
        async with running_app(connections, **{f"auth_external_web3_{on}_enabled": "true"}) as served:
            answer = await People(served).grant("web3", chain=off.lower(), message="x", signature="y")
            assert (answer.status_code, answer.json()["code"]) == (422, "web3_provider_disabled")
            assert answer.json()["message"] == f"{off} Web3 provider is disabled"
