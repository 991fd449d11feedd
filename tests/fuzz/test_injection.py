"""Nothing that is sent becomes SQL: names are quoted, values are bound, and sqlmap finds no way in."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, example, given, seed, settings
from hypothesis import strategies as st

from tests.application import service_key
from tests.fuzz.attack import besieged
from tests.integration.cli.serving import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monohull.kernel.home import Connections

SHOP: Final = Path(__file__).parent.parent / "integration" / "rest" / "shop.sql"
FUNCTIONS: Final = Path(__file__).parent / "functions.sql"
SQLMAP: Final = shutil.which("sqlmap")
SECONDS_EACH: Final = int(os.environ.get("SQLMAP_SECONDS", "90"))
SERVICE: Final = {"Authorization": f"Bearer {service_key()}"}

NAMES: Final = st.text(
    st.one_of(
        st.sampled_from("\"'\\$;-/*()E.,: \n%&=1a"), st.characters(codec="utf-8", exclude_characters="\x00")
    ),
    min_size=1,
    max_size=15,
)
SYNTAX: Final = frozenset({"42601", "42P02", "22P06", "42611", "42622"})
"""SQLSTATEs that say the text of a statement was not what the compiler meant to write."""


class Reach:
    """The running application, asked from a plain function."""

    def __init__(self, connections: Connections) -> None:
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._stack = AsyncExitStack()
        entering = self._stack.enter_async_context(besieged(connections, SHOP, FUNCTIONS))
        self._served, self._database = self._runner.run(_awaited(entering))

    def close(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()

    def rows(self, query: str, *arguments: Any) -> Any:
        return self._runner.run(_awaited(self._database.fetch(query, *arguments)))

    def ask(self, method: str, path: str, **options: Any) -> Any:
        headers = {**SERVICE, **options.pop("headers", {})}
        asking = self._served.client.request(method, f"/rest/v1/{path}", headers=headers, **options)
        response = self._runner.run(_awaited(asking))
        body = response.json() if response.content else None
        shown = f"{method} {path} {options}: {response.status_code} {body}"
        assert response.status_code < 500, shown
        assert not (isinstance(body, dict) and body.get("code") in SYNTAX), shown
        return body


async def _awaited(one: Any) -> Any:
    return await one


@pytest.fixture
def reach(connections: Connections) -> Iterator[Reach]:
    reach = Reach(connections)
    yield reach
    reach.close()


def in_quotes(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_a_name_is_a_name_wherever_it_stands(reach: Reach) -> None:
    @seed(3)
    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(NAMES)
    @example('"')
    @example("\\")
    @example("'")
    @example('x"; drop table customers; --')
    @example("E'\\")
    @example("0")
    def stands(name: str) -> None:
        plain, safe = quote(name, safe=""), quote(in_quotes(name), safe="")
        for query in (
            f"select={safe}", f"select=id::{plain}", f"select=id,{safe}(*)", f"select=orders!{safe}(*)",
            f"order={safe}.desc", f"{safe}=eq.1", f"name=eq.{plain}", f"id=in.({safe})", f"tags=cs.{plain}",
            f"or=({safe}.eq.1,name.eq.{safe})", f"name=fts({plain}).a", f"profile->>{safe}=eq.{plain}",
            f"order=profile->{safe}", f"select=id.{plain}()", f"limit={plain}", f"columns={safe}",
            f"on_conflict={safe}", f"{plain}=is.null", f"select={plain}",
        ):  # fmt: skip
            reach.ask("GET", f"customers?{query}")
        reach.ask("GET", f"{plain}?select=*")
        reach.ask("GET", f"rpc/{plain}?{plain}={plain}")
        reach.ask("GET", f"rpc/echo?value={plain}")
        reach.ask("POST", "rpc/add", json={name: 1})
        reach.ask("POST", f"customers?columns={safe}&on_conflict={safe}", json={name: 1})
        reach.ask(
            "POST",
            f"products?on_conflict={safe}",
            json={"id": 100, "name": name},
            headers={"Prefer": "return=representation"},
        )
        reach.ask("PATCH", f"products?id=eq.100&select={safe}", json={"body": name})
        reach.ask("DELETE", f"products?name=eq.{plain}&body=eq.nothing")
        if name.isprintable() and name.isascii():
            headers = {
                "Accept-Profile": name,
                "Prefer": f"timezone={name}, max-affected={name}",
                "Accept": name,
            }
            for header, value in headers.items():
                reach.ask("GET", "customers", headers={header: value})

    stands()
    assert reach.rows("select count(*) from customers")[0][0] == 3


def test_aliases_and_keys_come_back_as_they_were_sent(reach: Reach) -> None:
    @seed(4)
    @settings(max_examples=60, deadline=None, database=None, phases=(Phase.explicit, Phase.generate))
    @given(NAMES)
    @example('"')
    @example("\\'")
    def comes_back(name: str) -> None:
        reach.rows("update customers set profile = $1::jsonb where id = 3", json.dumps({name: "found"}))
        safe = quote(in_quotes(name), safe="")
        found = reach.ask(
            "GET", f"customers?select={safe}:profile->>{safe}&id=eq.3&profile->>{safe}=eq.found"
        )
        cut = name.encode()[:63].decode("utf-8", "ignore")
        assert found == [{cut: "found"}]

    comes_back()


TARGETS: Final = (
    ("GET", "customers?id=eq.1*", None),
    ("GET", "customers?select=id*", None),
    ("GET", "customers?order=id*", None),
    ("GET", "customers?name=like.A*", None),
    ("GET", "customers?or=(id.eq.1*,id.eq.2)", None),
    ("GET", "customers?profile->>city*=eq.London", None),
    ("GET", "orders?select=id,customers*(name)", None),
    ("GET", "customers*?select=id", None),
    ("GET", "products?body=fts(english*).rope", None),
    ("GET", "customers?limit=1*", None),
    ("GET", "rpc/echo?value=x*", None),
    ("POST", "rpc/add", '{"a": "1*"}'),
    ("POST", "products?on_conflict=id*", '{"id": 100, "name": "Rope"}'),
    ("PATCH", "products?id=eq.100", '{"name": "Rope*"}'),
)
FOUND: Final = re.compile(
    r"identified the following injection point|is vulnerable|appears to be .*injectable"
)


TRIED: Final = re.compile(r"testing '[^']+'")
"""It got as far as sending payloads: the target was reached and not taken for static."""


@pytest.mark.slow
@pytest.mark.skipif(SQLMAP is None, reason="sqlmap is not installed (Debian: apt-get install sqlmap)")
async def test_sqlmap_finds_nothing(connections: Connections, tmp_path: Path) -> None:
    """Each target for ``SQLMAP_SECONDS`` at most; the ``*`` marks where sqlmap puts its payloads."""
    database = await asyncpg.connect(connections.owner_url)
    await database.execute(SHOP.read_text(encoding="utf-8") + FUNCTIONS.read_text(encoding="utf-8"))
    with serve(connections, tmp_path, log_level="error") as url:
        for method, path, body in TARGETS:
            output = await asyncio.to_thread(sqlmap, method, f"{url}/rest/v1/{path}", body, tmp_path)
            assert not FOUND.search(output), f"{method} {path}\n{output}"
            assert TRIED.search(output), f"sqlmap tried nothing with {method} {path}\n{output}"
    assert await database.fetchval("select count(*) from customers") == 3
    await database.close()


def sqlmap(method: str, url: str, body: str | None, folder: Path) -> str:
    """Run sqlmap against one place of a request, and return what it says."""
    assert SQLMAP is not None
    headers = f"Authorization: {SERVICE['Authorization']}"
    command = [SQLMAP, "-u", url, "--method", method, "--batch", "--dbms=PostgreSQL", "--level=2", "--risk=1"]
    command += ["--technique=BEUSTQ", "--time-sec=2", "--threads=4", "--flush-session", "--ignore-code=*"]
    command += ["--disable-coloring", "--output-dir", str(folder / "sqlmap"), "--answers", "want to skip=N"]
    if body is not None:
        headers += "\nContent-Type: application/json"
        command += ["--data", body]
    command += ["--headers", headers]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=SECONDS_EACH,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode("utf-8", "replace")
    return done.stdout + done.stderr
