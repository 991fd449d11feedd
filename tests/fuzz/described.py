"""Send what a description allows, and what it does not, as each of several callers."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import httpx
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from tests.application import anon_key, service_key
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "6"))
SERVICE: Final = {"Authorization": f"Bearer {service_key()}", "apikey": service_key()}


def signed_in(url: str) -> dict[str, str]:
    """Sign somebody new in."""
    link = httpx.post(
        f"{url}/auth/v1/admin/generate_link",
        json={"type": "invite", "email": f"{uuid4().hex}@example.com"},
        headers=SERVICE,
        timeout=PATIENCE_SECONDS,
    ).json()
    answer = httpx.post(
        f"{url}/auth/v1/verify",
        json={"type": "invite", "token_hash": link["hashed_token"]},
        timeout=PATIENCE_SECONDS,
    ).json()
    return {"Authorization": f"Bearer {answer['access_token']}", "apikey": anon_key()}


def attack(
    operation: Any, callers: Sequence[dict[str, str]], mode: GenerationMode, faults: list[str]
) -> None:
    """Send the requests of one operation; add answers of 500 and more to ``faults``."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def send(case: Any) -> None:
        for headers in callers:
            answer = case.call(headers=headers)
            if answer.status_code >= 500:
                faults.append(f"{case.as_curl_command()}: {answer.status_code} {answer.text[:300]}")

    send()


def attack_all(schema: Any, callers: Sequence[dict[str, str]]) -> tuple[set[str], list[str]]:
    """Send the requests of every operation; return their names and what was wrong."""
    faults: list[str] = []
    seen: set[str] = set()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        seen.add(operation.label)
        attack(operation, callers, GenerationMode.POSITIVE, faults)
        with suppress(Unsatisfiable):  # the description of some forbids nothing
            attack(operation, callers, GenerationMode.NEGATIVE, faults)
    return seen, faults
