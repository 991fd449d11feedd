"""``monohull jobs`` against a database and Redis."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from modules.jobs.cli import jobs
from tests.integration.api_keys.test_cli import ENVIRON, Context, printed

if TYPE_CHECKING:
    from monohull.kernel.home import Connections


@pytest.fixture
def there(connections: Connections) -> Connections:
    """Not async: each command runs a loop of its own."""
    return connections


def test_jobs_from_the_command_line(there: Connections) -> None:
    environ = ENVIRON | {"MONOHULL_MODULES": "tests.integration.jobs"}

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(jobs, arguments, obj=Context(there, environ))

    def shown(*arguments: str) -> Any:
        result = call(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(printed(result))

    job = shown("enqueue", "shop.count", '{"n": 1}', "--key", "k", "--priority", "7", "--delay", "60")
    assert (job["state"], job["priority"]) == ("scheduled", 7)
    assert "has the key already" in printed(call("enqueue", "shop.count", '{"n": 1}', "--key", "k"))
    assert call("enqueue", "shop.count", "{").exit_code == 2
    refused = call("enqueue", "shop.secretive", "{}")
    assert refused.exit_code == 1
    assert "may be asked for" in refused.stderr
    assert [each["id"] for each in shown("list", "--state", "scheduled")] == [job["id"]]
    assert shown("list", "--name", "shop.fail") == []
    assert job["id"] in printed(call("list"))
    assert call("list", "--name", "Shop").exit_code == 2
    assert "is cancelled" in printed(call("cancel", job["id"]))
    assert "cancelled" in printed(call("show", job["id"]))
    assert "asked again for 1" in printed(call("retry", job["id"]))
    assert call("retry", job["id"]).exit_code == 1
    assert "asked again for 0" in printed(call("retry", "--all", "shop.count"))
    assert call("retry").exit_code == 2
