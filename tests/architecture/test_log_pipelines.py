"""The shipped log pipelines read the lines that processes write.

None of Promtail, Logstash and Filebeat comes as a package, so none of them runs here: Promtail's stages are
carried out by this file on real lines, and of the others fields and the layout of the time are checked.
"""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
import structlog
import yaml

from monohull.kernel.logs import RequestLines, _json, _processors
from monohull.kernel.observation import DependencyLost, Observation, RequestFinished
from tools.generate_reference import import_everything, subclasses

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[2] / "deploy" / "observability"
EVERY_LINE = {"timestamp", "level", "event", "process"}
FINISHED = RequestFinished(
    request_id="r-1",
    trace_id="0" * 31 + "1",
    method="GET",
    route="/rest/v1/{relation}",
    status=200,
    duration_seconds=0.01,
    principal="user",
    response_bytes=2,
)


def lines() -> Iterator[str]:
    """A line of a request, written at once with others, and one of structlog."""
    stream = io.StringIO()
    quick = RequestLines()
    quick.use(stream, "api", is_wanted=True)
    quick.add(FINISHED)
    quick.flush()
    yield stream.getvalue()
    stream = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[*_processors("worker"), structlog.processors.JSONRenderer(serializer=_json)],
    )
    lost = DependencyLost(name="redis", reason="it is away")
    logger.warning(lost.event, **msgspec.structs.asdict(lost))
    yield stream.getvalue()


def promtail(line: str) -> tuple[datetime, dict[str, str], dict[str, str]]:
    """Carry out the stages of the shipped configuration: time, labels and structured metadata of a line."""
    config = yaml.safe_load((FOLDER / "loki/promtail.yaml").read_text("utf-8"))
    extracted: dict[str, Any] = {}
    labels: dict[str, str] = {}
    metadata: dict[str, str] = {}
    at = datetime.min.replace(tzinfo=UTC)
    for stage in config["scrape_configs"][0]["pipeline_stages"]:
        ((kind, options),) = stage.items()
        if kind == "json":
            document = json.loads(line)
            extracted |= {name: document.get(path) for name, path in options["expressions"].items()}
        elif kind == "timestamp":
            assert options["format"] == "RFC3339Nano"
            at = datetime.fromisoformat(extracted[options["source"]])
        else:
            found = labels if kind == "labels" else metadata
            found |= {name: str(extracted[name]) for name in options if extracted[name] is not None}
    return at, labels, metadata


def test_promtail_reads_every_kind_of_line() -> None:
    request, lost = (promtail(line) for line in lines())
    assert request[1] == {"level": "info", "process": "api", "event": "http.request"}
    assert request[2] == {"request_id": "r-1", "trace_id": FINISHED.trace_id}
    assert lost[1] == {"level": "warning", "process": "worker", "event": "dependency.lost"}
    for at, _, _ in (request, lost):
        assert abs((datetime.now(UTC) - at).total_seconds()) < 60


def test_the_time_has_filebeats_layout() -> None:
    config = yaml.safe_load((FOLDER / "filebeat/filebeat.yaml").read_text("utf-8"))
    stamp = config["processors"][0]["timestamp"]
    shape = re.sub(r"\d", "0", stamp["layouts"][0])
    assert [re.sub(r"\d", "0", example) for example in stamp["test"]] == [shape]
    for line in lines():
        assert re.sub(r"\d", "0", json.loads(line)["timestamp"]) == shape


@pytest.mark.parametrize("name", ["loki/promtail.yaml", "logstash/monohull.conf", "filebeat/filebeat.yaml"])
def test_a_pipeline_names_fields_that_lines_have(name: str) -> None:
    import_everything()
    known = EVERY_LINE | {f.name for shape in subclasses(Observation) for f in msgspec.structs.fields(shape)}
    text = (FOLDER / name).read_text("utf-8")
    found = set(re.findall(r"\[monohull\]\[(\w+)\]|monohull\.(\w+)", text))
    fields = {one or other for one, other in found}
    if name.startswith("loki"):
        stages = yaml.safe_load(text)["scrape_configs"][0]["pipeline_stages"]
        fields = set(stages[0]["json"]["expressions"].values())
    assert len(fields) >= len(EVERY_LINE)
    assert fields - known == set()


def kinds_of(hint: Any) -> set[Any]:
    """Return what a field may be beside absent; a word of a list is a text."""
    parts = set(get_args(hint)) if type(None) in get_args(hint) else {hint}
    words = {type(word) for part in parts if get_origin(part) is Literal for word in get_args(part)}
    return words | {part for part in parts if part is not type(None) and get_origin(part) is not Literal}


def test_a_field_has_one_type_in_all_events() -> None:
    """Elasticsearch refuses a line whose field is a number where it was a text before."""
    import_everything()
    types: dict[str, set[Any]] = {}
    for shape in subclasses(Observation):
        hints = get_type_hints(shape)
        for field in msgspec.structs.fields(shape):
            types.setdefault(field.name, set()).update(kinds_of(hints[field.name]))
    assert {name: kinds for name, kinds in types.items() if len(kinds) > 1} == {}
