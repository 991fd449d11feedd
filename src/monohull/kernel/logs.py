"""Logs of one process: one JSON object a line on stderr, a readable line in development.

Standard-library loggers (Litestar, Granian, SAQ, Alembic) are brought into the
same shape, and whatever looks like a secret is masked on its way out.
"""

from __future__ import annotations

import logging
import logging.config
import re
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from monohull.kernel.trace import current_trace

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from monohull.kernel.observation import Observation
    from monohull.kernel.settings import CoreSettings

MASK: Final = "[redacted]"
QUIET_LOGGERS: Final = (
    "alembic",
    "asyncio",
    "httpx",
    "httpcore",
    "litestar",
    "opentelemetry",
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
        if (trace := current_trace.get()) is not None:
            event.setdefault("request_id", trace.request_id)
        return event


def _add_logger_name(logger: Any, _: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record = event.get("_record")
    event["logger"] = record.name if record is not None else getattr(logger, "name", "root")
    return event


def log_reader() -> Any:
    """Return the reader that writes each observation as one line."""
    logger = structlog.get_logger()

    def read(observation: Observation) -> None:
        fields = {
            name: value
            for name in observation.__struct_fields__
            if (value := getattr(observation, name)) is not None
        }
        getattr(logger, observation.level)(observation.event, **fields)

    return read
