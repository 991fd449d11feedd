"""Signatures that the reference implementation holds for right, and secrets that are none."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from modules.webhooks.signing import new_secret, read_secret, sign

BODY = b'{"type":"shop.order_paid","data":{"text":"Gr\xc3\xb6\xc3\x9fe"}}'


def test_the_reference_implementation_agrees() -> None:
    secret, older = new_secret(), new_secret()
    headers = sign("0199", int(time.time()), BODY, [read_secret(secret), read_secret(older)])
    for holding in (secret, older):
        assert Webhook(holding).verify(BODY, headers)["type"] == "shop.order_paid"
    for changed in ({"webhook-id": "0198"}, {"webhook-timestamp": str(int(time.time()) + 1)}):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(BODY, headers | changed)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" ", headers)


def test_the_signature_of_the_specification() -> None:
    """The example that implementations of Standard Webhooks share."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    headers = sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, [read_secret(secret)])
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_example_of_the_documentation_verifies() -> None:
    page = Path(__file__).parents[3] / "docs/how-to/receive-webhooks.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(example, names)
    verify = names["verify"]
    secret = new_secret()
    headers = sign("0199", int(time.time()), BODY, [read_secret(new_secret()), read_secret(secret)])
    assert verify(secret, headers, BODY) is True  # type: ignore[operator]
    assert verify(new_secret(), headers, BODY) is False  # type: ignore[operator]
    late = sign("0199", int(time.time()) - 301, BODY, [read_secret(secret)])
    assert verify(secret, late, BODY) is False  # type: ignore[operator]


@pytest.mark.parametrize(
    "text", ["", "whsec_", "whsec_AAAA", "A" * 44, "whsec_" + "!" * 44, "whsec_" + "A" * 100]
)
def test_what_is_no_secret(text: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 bytes"):
        read_secret(text)
