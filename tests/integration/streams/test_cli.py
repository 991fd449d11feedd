"""``monohull streams``, against a database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from click.testing import CliRunner, Result

from modules.streams.cli import streams
from tests.integration.api_keys.test_cli import ENVIRON, Context, printed

if TYPE_CHECKING:
    from monohull.kernel.home import Connections


def call(connections: Connections, *arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(streams, arguments, obj=Context(connections, ENVIRON), input=given)


def test_a_sink_from_the_command_line(connections: Connections) -> None:
    """Not async: each command runs a loop of its own."""
    target = {"redis_stream": {"url": connections.redis_url, "stream": "told"}}
    described = json.dumps({"name": "told", "target": target, "events": ["*"]})
    made = call(connections, "create", "-", "--json", given=described)
    assert made.exit_code == 0, made.output
    sink_id = json.loads(printed(made))["id"]
    assert call(connections, "create", "-", given="{}").exit_code == 2
    assert f"{sink_id}  told  running" in printed(call(connections, "list"))
    assert "paused" in printed(call(connections, "pause", sink_id))
    assert json.loads(printed(call(connections, "list", "--json")))[0]["state"] == "paused"
    assert "running" in printed(call(connections, "resume", sink_id))
    assert "at 0," in printed(call(connections, "rewind", sink_id, "--sequence", "0"))
    assert call(connections, "rewind", sink_id, "--time", "2026-01-01").exit_code == 0
    assert call(connections, "rewind", sink_id).exit_code == 2
    tested = call(connections, "test", sink_id)
    assert (tested.exit_code, "taken" in printed(tested)) == (0, True)
    assert call(connections, "delete", sink_id).exit_code == 0
    gone = call(connections, "test", sink_id)
    assert (gone.exit_code, "no such sink" in gone.output) == (1, True)
