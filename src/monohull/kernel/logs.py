"""Logs of one process: one JSON object a line on stderr, a readable line in development.

Standard-library loggers (Litestar, Granian, SAQ, Alembic) are brought into the
same shape, and whatever looks like a secret is masked on its way out.
"""

from __future__ import annotations

import asyncio
import logging
import logging.config
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from monohull.kernel import clock
from monohull.kernel.observation import RequestFinished
from monohull.kernel.origin import running_trace

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from typing import TextIO

    from monohull.kernel.observation import Observation
    from monohull.kernel.settings import CoreSettings

MASK: Final = "[redacted]"
QUIET_LOGGERS: Final = (
    "alembic",
    "asyncio",
    "httpx",
    "httpcore",
    "litestar",
    "saq",
    "sqlalchemy",
)
"""Libraries that tell at the level info what nobody asked for."""
_SENSITIVE_NAME: Final = re.compile(
    r"(?i)authorization|apikey|api_key|cookie|password|passwd|secret|token|credential"
)
_SENSITIVE_TEXT: Final = re.compile(
    r"eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"  # a JWT
    r"|sb_(?:secret|publishable)_[A-Za-z0-9_-]+"  # an API key of ours
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"  # user and password in a URL
)


MAX_LINES_TOGETHER: Final = 500
"""Lines of finished requests that are written at once, at the most."""

GATHER_SECONDS: Final = 0.01
"""How long the first line waits for others that are written with it."""


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask whatever looks like a secret, by the name of the field and by the look of the text."""
    for name, value in event.items():
        if _SENSITIVE_NAME.search(name):
            event[name] = MASK
        elif isinstance(value, str):
            event[name] = _SENSITIVE_TEXT.sub(MASK, value)
    return event


def _json(event: Mapping[str, Any], **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


def configure_logging(core: CoreSettings, *, process: str) -> None:
    """Set up structlog and the standard library's loggers for this process."""
    level = logging.getLevelNamesMapping()[core.log_level.upper()]
    structlog.configure(
        processors=[*_processors(process), _renderer(core)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(logging_dictionary(core, process=process))
    is_json = core.effective_log_format == "json"
    _lines.use(sys.stderr if is_json else None, process, is_wanted=level <= logging.INFO)


def logging_dictionary(core: CoreSettings, *, process: str) -> dict[str, Any]:
    """Return the ``logging.config`` dictionary that brings every library into our shape."""
    level = logging.getLevelNamesMapping()[core.log_level.upper()]
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": [_add_logger_name, *_processors(process)],
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(core)],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"structured": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": max(level, logging.INFO)},
        "loggers": {name: {"level": max(level, logging.WARNING)} for name in QUIET_LOGGERS},
    }


def _processors(process: str) -> list[Any]:
    return [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        _AddProcess(process),
        structlog.processors.format_exc_info,
        redact,
    ]


def _renderer(core: CoreSettings) -> Any:
    if core.effective_log_format == "json":
        return structlog.processors.JSONRenderer(serializer=_json)
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())


class _AddProcess:
    """Says which process and which request a line belongs to.

    A class and no closure: Granian's worker processes get the logging set-up pickled.
    """

    def __init__(self, process: str) -> None:
        self._process = process

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("process", self._process)
        if (trace := running_trace()) is not None:
            event.setdefault("request_id", trace.request_id)
            event.setdefault("trace_id", trace.trace_id)
        return event


def _add_logger_name(logger: Any, _: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record = event.get("_record")
    event["logger"] = record.name if record is not None else getattr(logger, "name", "root")
    return event


class RequestLines:
    """Writes what `structlog` would write of a `RequestFinished`, at a fraction of its price.

    There is one such line a request, of fields that are known: only the request id comes from outside
    and may look like a secret. Lines of `GATHER_SECONDS` are written together, with the time of their
    end, before any other line that this process logs through `log_reader`.
    """

    def __init__(self) -> None:
        self.is_on = False
        self._is_wanted = False
        self._stream: TextIO = sys.stderr
        self._tail = ""
        self._waiting: list[RequestFinished] = []
        self._encode_lines = msgspec.json.Encoder().encode_lines

    def use(self, stream: TextIO | None, process: str, *, is_wanted: bool) -> None:
        """Write to ``stream``; None leaves the lines to structlog."""
        self.flush()
        self.is_on = stream is not None
        self._is_wanted = is_wanted
        if stream is not None:
            self._stream = stream
        self._tail = f'","process":{msgspec.json.encode(process).decode()}}}\n'

    def add(self, finished: RequestFinished) -> None:
        """Write one line, now or in a moment."""
        if not self._is_wanted:
            return
        if finished.request_id != finished.trace_id and _SENSITIVE_TEXT.search(finished.request_id):
            finished = msgspec.structs.replace(
                finished, request_id=_SENSITIVE_TEXT.sub(MASK, finished.request_id)
            )
        waiting = self._waiting
        waiting.append(finished)
        if len(waiting) == 1:
            try:
                asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)
            except RuntimeError:  # no loop: a test or a command
                self.flush()
        elif len(waiting) >= MAX_LINES_TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting. A log that cannot be written disturbs nobody."""
        if not self._waiting:
            return
        lines = self._encode_lines(self._waiting).decode()
        self._waiting.clear()
        ending = f"{_LINE_MIDDLE}{clock.now().isoformat()[:-6]}Z{self._tail}"
        with suppress(OSError, ValueError):
            # within JSON a line feed is spelled, so that one after a brace ends a line
            self._stream.write(lines.replace("}\n", ending))
            self._stream.flush()


_LINE_MIDDLE: Final = f',"event":"{RequestFinished.event}","level":"{RequestFinished.level}","timestamp":"'
_lines: Final = RequestLines()
"""One for the process, as structlog's own configuration is."""


def log_reader() -> Any:
    """Return the reader that writes each observation as one line."""
    logger = structlog.get_logger()

    def read(observation: Observation) -> None:
        if _lines.is_on:
            if type(observation) is RequestFinished:
                _lines.add(observation)
                return
            _lines.flush()
        fields = {
            name: value
            for name in observation.__struct_fields__
            if (value := getattr(observation, name)) is not None
        }
        getattr(logger, observation.level)(observation.event, **fields)

    return read
