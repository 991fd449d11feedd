"""AWS Kinesis; botocore waits for answers in a thread, since it knows no other way."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, Final

from botocore.config import Config
from botocore.session import get_session

from modules.streams.transports.protocols import NotTaken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.streams.cloudevents import Message
    from modules.streams.targets import KinesisTarget

MAX_RECORDS: Final = 500
MAX_BYTES: Final = 4_000_000
"""Of one request; Kinesis takes 5 MiB with the keys."""
MAX_KEY: Final = 256
TRIES: Final = 5
FIRST_WAIT_SECONDS: Final = 0.1


async def connect(target: KinesisTarget, timeout_seconds: float) -> KinesisTransport:
    """Make a client; it connects with its first request."""
    client = await asyncio.to_thread(_client, target, timeout_seconds)
    return KinesisTransport(client, target.stream)


def _client(target: KinesisTarget, timeout_seconds: float) -> Any:
    return get_session().create_client(
        "kinesis",
        region_name=target.region,
        endpoint_url=target.endpoint_url,
        aws_access_key_id=target.access_key_id,
        aws_secret_access_key=target.secret_access_key,
        aws_session_token=target.session_token,
        config=Config(
            connect_timeout=timeout_seconds, read_timeout=timeout_seconds, retries={"total_max_attempts": 1}
        ),
    )


class KinesisTransport:
    """Puts records; those that are throttled are put again before any later ones of their keys."""

    is_whole = False

    def __init__(self, client: Any, stream: str) -> None:
        self._client = client
        self._stream = stream

    async def send(self, messages: Sequence[Message]) -> None:
        for part in _parts([_record(message) for message in messages]):
            await self._put(part)

    async def _put(self, records: list[dict[str, Any]]) -> None:
        reason = ""
        for attempt in range(TRIES):
            answer = await asyncio.to_thread(
                self._client.put_records, StreamName=self._stream, Records=records
            )
            failed = [
                (record, result)
                for record, result in zip(records, answer["Records"], strict=True)
                if result.get("ErrorCode")
            ]
            if not failed:
                return
            records = [record for record, _ in failed]
            reason = f"{failed[0][1]['ErrorCode']} {failed[0][1].get('ErrorMessage', '')}"
            await asyncio.sleep(FIRST_WAIT_SECONDS * 2**attempt)
        raise NotTaken(f"Kinesis refused {len(records)} records: {reason}")

    async def close(self) -> None:
        await asyncio.to_thread(self._client.close)


def _record(message: Message) -> dict[str, Any]:
    key = message.key or message.id
    if len(key) > MAX_KEY:
        key = hashlib.sha256(key.encode()).hexdigest()
    return {"Data": message.body, "PartitionKey": key}


def _parts(records: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Part records so that each part may be one request."""
    parts: list[list[dict[str, Any]]] = []
    room = 0
    for record in records:
        size = len(record["Data"]) + len(record["PartitionKey"].encode())
        if not parts or room < size or len(parts[-1]) == MAX_RECORDS:
            parts.append([])
            room = MAX_BYTES
        parts[-1].append(record)
        room -= size
    return parts
