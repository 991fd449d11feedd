"""``monohull keys``, against a database and without."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from msgspec import Struct

from modules.api_keys.cli import keys
from modules.api_keys.opaque import is_well_formed
from monohull.kernel.configuration import Configuration, load
from monohull.kernel.runtime import Runtime
from tests.application import JWT_SECRET, anon_key, service_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from monohull.kernel.home import Connections


class Context(Struct, frozen=True):
    """What the ``monohull`` command hands over, for one database."""

    connections: Connections | None
    environ: dict[str, str]

    def load(self, home: Path | None = None, project: Path | None = None) -> Configuration:
        options = {"home": str(home)} if home is not None else {}
        return load(self.environ, project=project or Path("/"), options=options)

    def run(self, loaded: Configuration, work: Callable[[Runtime], Awaitable[Any]]) -> Any:
        assert self.connections is not None

        async def inner() -> Any:
            runtime = Runtime(loaded.settings, loaded.modules, self.connections, process="cli")  # type: ignore[arg-type]
            async with runtime.running():
                return await work(runtime)

        return asyncio.run(inner())


ENVIRON = {"MONOHULL_ENV": "test", "MONOHULL_JWT_SECRET": JWT_SECRET, "MONOHULL_LOG_LEVEL": "error"}


def call(connections: Connections | None, *arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(keys, arguments, obj=Context(connections, ENVIRON | environ))


def printed(result: Result) -> str:
    """What the command itself wrote: without its entry point, log lines go to stdout too."""
    lines = result.stdout.splitlines()
    return "\n".join(line for line in lines if not re.match(r"\d{4}-\d\d-\d\d ", line))


@pytest.fixture
def there(connections: Connections) -> Connections:
    """Not async: each command runs a loop of its own."""
    return connections


def test_show_prints_the_keys_that_follow_from_the_secret() -> None:
    shown = json.loads(call(None, "show", "--json").stdout)
    assert shown == {
        "anon_key": anon_key(),
        "service_key": service_key(),
        "jwt_secret_source": "environment",
    }
    text = call(None, "show").stdout
    assert anon_key() in text
    assert JWT_SECRET not in text


def test_keys_that_were_set_are_shown_as_they_are() -> None:
    shown = json.loads(call(None, "show", "--json", MONOHULL_ANON_KEY="a-key-of-mine").stdout)
    assert shown["anon_key"] == "a-key-of-mine"


def test_the_secret_of_a_home(tmp_path: Path) -> None:
    environ = {"MONOHULL_ENV": "test"}
    one = CliRunner().invoke(
        keys, ["show", "--json", "--home", str(tmp_path / "home")], obj=Context(None, environ)
    )
    two = CliRunner().invoke(
        keys, ["show", "--json", "--home", str(tmp_path / "home")], obj=Context(None, environ)
    )
    assert one.exit_code == 0, one.output
    assert json.loads(one.stdout)["anon_key"] == json.loads(two.stdout)["anon_key"]
    assert str(tmp_path / "home") in json.loads(one.stdout)["jwt_secret_source"]


def test_create_list_and_revoke(there: Connections) -> None:
    made = call(there, "create", "ci", "--days", "30")
    assert made.exit_code == 0, made.output
    assert is_well_formed(printed(made))
    second = json.loads(printed(call(there, "create", "web", "--publishable", "--json")))
    assert (second["kind"], second["permissions"]) == ("publishable", [])
    listed = json.loads(printed(call(there, "list", "--json")))
    assert [(key["name"], key["created_by"]) for key in listed] == [("web", "service"), ("ci", "service")]
    assert "key" not in listed[0]
    ended = call(there, "revoke", second["id"])
    assert (ended.exit_code, "is revoked" in printed(ended)) == (0, True)
    assert json.loads(printed(call(there, "revoke", second["id"], "--json")))["revoked_at"] is not None
    assert second["id"] not in call(there, "list").stdout
    assert "revoked" in call(there, "list", "--revoked").stdout
    limited = json.loads(printed(call(there, "create", "x", "--permission", "api_keys.keys:read", "--json")))
    assert limited["permissions"] == ["api_keys.keys:read"]


def test_limits_change_and_rotation(there: Connections) -> None:
    made = json.loads(
        printed(
            call(
                there,
                *(
                    "create",
                    "partner",
                    "--permission",
                    "data.orders:read",
                    "--permission",
                    "data.rpc.total:call",
                ),
                *("--address", "203.0.113.0/24", "--address", "2001:db8::/32"),
                *("--rate", "120", "--quota", "1000/month", "--days", "7", "--json"),
            )
        )
    )
    assert made["permissions"] == ["data.orders:read", "data.rpc.total:call"]
    assert made["allowed_addresses"] == ["203.0.113.0/24", "2001:db8::/32"]
    assert (made["rate_per_minute"], made["quota"]) == (120, {"limit": 1000, "period": "month"})
    assert len(made["warnings"]) == 2
    told = call(there, "create", "early", "--permission", "data.orders:read")
    assert is_well_formed(printed(told))
    assert "There is no relation orders yet" in told.stderr
    line = printed(call(there, "list")).splitlines()[1]
    assert "from 203.0.113.0/24, 2001:db8::/32; 120 a minute; 1000 a month; never used; expires" in line
    changed = json.loads(
        printed(
            call(
                there,
                *("change", made["id"], "--name", "friend", "--rate", "7"),
                *("--without", "addresses", "--without", "quota", "--without", "expiry", "--json"),
            )
        )
    )
    assert (changed["name"], changed["rate_per_minute"], changed["quota"]) == ("friend", 7, None)
    assert (changed["allowed_addresses"], changed["expires_at"]) == ([], None)
    assert changed["permissions"] == made["permissions"]
    assert "friend" in printed(call(there, "change", made["id"], "--quota", "5/day"))
    rotated = json.loads(printed(call(there, "rotate-key", made["id"], "--overlap-hours", "2", "--json")))
    assert rotated["id"] == made["id"]
    assert rotated["key"] != made["key"]
    assert rotated["previous_prefix"] == made["prefix"]
    assert f"{made['prefix']}… until " in printed(call(there, "list"))
    assert is_well_formed(printed(call(there, "rotate-key", made["id"], "--overlap-hours", "0")))


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["revoke", "01a20691-5dcc-71b3-b46c-b2d6da3e1d8f"], 1, "no api key has the id"),
        (["revoke", "x"], 2, "not a valid UUID"),
        (["create", ""], 2, "length >= 1"),
        (["create", "x", "--permission", "no.such:thing"], 1, "No module asks for"),
        (["create", "x", "--days", "0"], 2, "0 is not in the range"),
        (["create"], 2, "Missing argument"),
        (["create", "x", "--quota", "5/hour"], 2, "10000/day"),
        (["create", "x", "--quota", "many/day"], 2, "10000/day"),
        (["create", "x", "--rate", "0"], 2, "0 is not in the range"),
        (["create", "x", "--address", "example.com"], 1, "allow-list cannot be read"),
        (["create", "x", "--permission", "data.orders:reed"], 1, "No module asks for"),
        (["create", "x", "--user", "01a20691-5dcc-71b3-b46c-b2d6da3e1d8f"], 1, "No user has the id"),
        (["change", "01a20691-5dcc-71b3-b46c-b2d6da3e1d8f", "--name", "x"], 1, "no api key has the id"),
        (["rotate-key", "01a20691-5dcc-71b3-b46c-b2d6da3e1d8f"], 1, "no api key has the id"),
    ],
)
def test_commands_that_are_refused(
    there: Connections, arguments: list[str], exit_code: int, message: str
) -> None:
    result = call(there, *arguments)
    assert (result.exit_code, message in result.output) == (exit_code, True), result.output


def test_the_real_command(there: Connections) -> None:
    environ = {"PATH": os.defpath, **ENVIRON, "MONOHULL_LOG_FORMAT": "json", "MONOHULL_LOG_LEVEL": "debug"}
    environ |= {"MONOHULL_DATABASE_URL": there.owner_url, "MONOHULL_REDIS_URL": there.redis_url}

    def run(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "monohull", "keys", *arguments]
        return subprocess.run(command, env=environ | extra, capture_output=True, text=True, check=False)

    made = run("create", "ci")
    assert made.returncode == 0, made.stderr
    assert is_well_formed(made.stdout.strip())
    assert made.stdout.strip() not in made.stderr
    away = run("list", MONOHULL_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    assert (away.returncode, "127.0.0.1:1" in away.stderr, "Traceback" in away.stderr) == (3, True, False)
    assert run("show", MONOHULL_PORT="x").returncode == 2


def test_signing_keys_are_listed_rotated_and_retired(there: Connections) -> None:
    environ = {"PATH": os.defpath, **ENVIRON, "MONOHULL_LOG_LEVEL": "error"}
    environ |= {"MONOHULL_DATABASE_URL": there.owner_url, "MONOHULL_REDIS_URL": there.redis_url}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "monohull", "keys", *arguments]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    first = run("rotate", "--now", "--json")
    assert first.returncode == 0, first.stderr
    before = [reported["key"] for reported in json.loads(first.stdout)["keys"]]
    assert [key["state"] for key in before] == ["current", "standby"]
    too_soon = run("rotate")
    assert (too_soon.returncode, "pass --now" in too_soon.stderr) == (1, True)
    assert run("rotate", "--now").returncode == 0
    shown = run("signing").stdout
    assert [line.split()[0] for line in shown.splitlines()] == ["current", "standby", "previous"]
    kid = before[0]["kid"]
    assert f"previous  ES256  {kid}" in shown
    assert run("retire").stdout == "no previous key is done yet\n"
    assert (run("retire", kid).returncode, run("retire", "x").returncode) == (1, 1)
    assert run("retire", kid, "--force").stdout == f"{kid} is retired\n"
