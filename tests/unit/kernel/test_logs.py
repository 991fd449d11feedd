"""What a log line looks like, and what never stands in one."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import structlog

from monohull.kernel.logs import (
    GATHER_SECONDS,
    MAX_LINES_TOGETHER,
    RequestLines,
    configure_logging,
    log_reader,
    redact,
)
from monohull.kernel.observation import DependencyLost, Observation, Observer, RequestFinished
from monohull.kernel.settings import CoreSettings
from monohull.kernel.trace import current_trace, new_trace

if TYPE_CHECKING:
    from collections.abc import Iterator

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJl"
REQUEST = RequestFinished(
    request_id="r1",
    trace_id="t" * 32,
    method="GET",
    route="/rest/v1/{relation}",
    status=200,
    duration_seconds=0.012,
    principal="user",
    response_bytes=10,
)


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", "Bearer x"),
        ("apikey", "x"),
        ("Cookie", "x"),
        ("db_password", "x"),
        ("refresh_token", "x"),
        ("client_secret", "x"),
        ("path", f"/verify?token={JWT}"),
        ("message", "key sb_secret_abcdefghijklmnop"),
        ("url", "postgresql://me:hunter2@127.0.0.1/db"),
    ],
)
def test_secrets_are_masked(name: str, value: str) -> None:
    masked = str(redact(None, "", {name: value})[name])
    assert "[redacted]" in masked
    for secret in ("Bearer", JWT, "sb_secret_abc", "hunter2"):
        assert secret not in masked


def test_harmless_fields_are_left_alone() -> None:
    event = {"route": "/rest/v1/{relation}", "status": 200, "message": "hello"}
    assert redact(None, "", dict(event)) == event


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_one_line_a_request(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(CoreSettings(env="production"), process="api")
    Observer(log_reader()).observe(REQUEST)
    (line,) = lines(capsys)
    assert line["event"] == "http.request"
    assert (line["request_id"], line["route"], line["status"]) == ("r1", "/rest/v1/{relation}", 200)
    assert (line["duration_seconds"], line["principal"]) == (0.012, "user")
    assert (line["level"], line["process"]) == ("info", "api")
    assert line["timestamp"].endswith("Z")


def test_the_level_decides(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(CoreSettings(env="production", log_level="warning"), process="api")
    observer = Observer(log_reader())
    observer.observe(REQUEST)
    observer.observe(DependencyLost(name="redis", reason="refused"))
    assert [line["event"] for line in lines(capsys)] == ["dependency.lost"]


def test_libraries_speak_the_same_shape_and_keep_their_stack(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(CoreSettings(env="production"), process="worker")
    token = current_trace.set(new_trace("r9"))
    try:
        raise ValueError("boom")  # noqa: TRY301 a stack is wanted
    except ValueError:
        logging.getLogger("somebody").exception("failed with %s", "postgresql://a:b@h/d")
    finally:
        current_trace.reset(token)
    (line,) = lines(capsys)
    assert line["logger"] == "somebody"
    assert line["event"] == "failed with postgresql://[redacted]@h/d"
    assert "ValueError: boom" in line["exception"]
    assert line["request_id"] == "r9"


def test_console_in_development(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(CoreSettings(), process="api")
    Observer(log_reader()).observe(REQUEST)
    text = capsys.readouterr().err
    assert "http.request" in text
    assert not text.startswith("{")


def test_a_reader_that_fails_disturbs_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Observation] = []

    def broken(_: Observation) -> None:
        raise OSError("disk full")

    observer = Observer(broken)
    observer.add_reader(seen.append)
    observer.observe(REQUEST)
    assert seen == [REQUEST]
    assert "disk full" in capsys.readouterr().err


def test_a_reader_is_told_of_what_it_wants_and_one_that_names_nothing_of_all() -> None:
    lost = DependencyLost(name="redis", reason="gone")
    rare: list[Observation] = []
    every: list[Observation] = []
    observer = Observer(every.append)
    observer.observe(REQUEST)
    observer.add_reader(rare.append, DependencyLost)
    observer.observe(REQUEST)
    observer.observe(lost)
    assert rare == [lost]
    assert every == [REQUEST, REQUEST, lost]


def test_the_quick_line_is_structlogs_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(CoreSettings(env="production"), process="api")
    Observer(log_reader()).observe(REQUEST)
    (quick,) = lines(capsys)
    structlog.get_logger().info(REQUEST.event, **msgspec.structs.asdict(REQUEST))
    (slow,) = lines(capsys)
    quick.pop("timestamp")
    slow.pop("timestamp")
    assert quick == slow


def test_a_request_id_that_looks_like_a_secret_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(CoreSettings(env="production"), process="api")
    Observer(log_reader()).observe(msgspec.structs.replace(REQUEST, request_id=JWT))
    (line,) = lines(capsys)
    assert line["request_id"] == "[redacted]"


async def test_lines_of_a_moment_are_written_together_and_before_the_next_event(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(CoreSettings(env="production"), process="api")
    observer = Observer(log_reader())
    observer.observe(REQUEST)
    observer.observe(REQUEST)
    assert lines(capsys) == []
    await asyncio.sleep(5 * GATHER_SECONDS)
    assert len(lines(capsys)) == 2
    observer.observe(REQUEST)
    observer.observe(DependencyLost(name="redis", reason="refused"))
    assert [line["event"] for line in lines(capsys)] == ["http.request", "dependency.lost"]
    await asyncio.sleep(5 * GATHER_SECONDS)
    assert lines(capsys) == []


async def test_lines_that_wait_are_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(CoreSettings(env="production"), process="api")
    observer = Observer(log_reader())
    for _ in range(MAX_LINES_TOGETHER):
        observer.observe(REQUEST)
    assert len(lines(capsys)) == MAX_LINES_TOGETHER


def test_a_log_that_cannot_be_written_disturbs_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    closed = io.StringIO()
    closed.close()
    written = RequestLines()
    written.use(closed, "api", is_wanted=True)
    written.add(REQUEST)
    assert capsys.readouterr().err == ""
