"""The page about the clients' own suites: its settings start, and its table is what the clients call."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from msgspec import Struct

from modules.auth.settings import AuthSettings
from monohull.asgi import create_app
from monohull.kernel.configuration import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FOLDER: Final = Path(__file__).parent
PAGE: Final = (FOLDER.parents[1] / "docs/compatibility/gotrue-suites.md").read_text(encoding="utf-8")
AUTH_JS: Final = FOLDER / "javascript/node_modules/@supabase/auth-js/src"
AUTH_PY: Final = next((FOLDER / "python/.venv").glob("lib/python*/site-packages/supabase_auth/_sync"), None)
BLOCKS: Final = dict(re.findall(r"```sh env=(\w+)\n(.*?)```", PAGE, re.DOTALL))
HAND_BUILT: Final = {"GET /authorize"}
"""The clients make an address of it for a browser and call nothing."""


class Row(Struct, frozen=True):
    request: str
    javascript: Sequence[str]
    python: Sequence[str]

    @property
    def route(self) -> str:
        return self.request.partition("?")[0]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


ROWS: Final = [
    Row(quoted(cells[0])[0], quoted(cells[1]), quoted(cells[2]))
    for line in PAGE.splitlines()
    if re.match(r"\| `(GET|POST|PUT|PATCH|DELETE) ", line)
    and (cells := [cell.strip() for cell in line.strip("|").split("|")])
]


def environment(name: str) -> dict[str, str]:
    lines = f"{BLOCKS['common']}{BLOCKS[name]}".splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("9999", {"autoconfirms": False, "phone": True, "anonymous": False, "closed": False}),
        ("9998", {"autoconfirms": True, "phone": True, "anonymous": True, "closed": False}),
        ("9997", {"autoconfirms": True, "phone": False, "anonymous": False, "closed": True}),
        ("9996", {"autoconfirms": True, "phone": True, "anonymous": True, "closed": False}),
    ],
)
def test_its_settings_are_what_it_says(tmp_path: Path, name: str, found: dict[str, bool]) -> None:
    loaded = load(environment(name), project=tmp_path).settings
    auth = loaded.of(AuthSettings)
    assert found == {
        "autoconfirms": auth.autoconfirms("test"),
        "phone": auth.external_phone_enabled,
        "anonymous": auth.external_anonymous_users_enabled,
        "closed": auth.disable_signup,
    }
    assert (auth.at_root, auth.password_min_length, auth.jwt_algorithm) == (True, 6, "HS256")
    assert loaded.idle == ()


def test_every_request_of_the_table_is_a_route(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {
        **environment("9998"),
        "MONOHULL_DATABASE_URL": "postgresql://owner:x@127.0.0.1:1/app",
        "MONOHULL_REDIS_URL": "redis://127.0.0.1:1/0",
    }.items():
        monkeypatch.setenv(name, value)
    routes = {
        f"{method} {re.sub(r'{[^}]*}', '{}', route.path.removeprefix('/auth/v1'))}"
        for route in create_app().routes
        if route.path.startswith("/auth/v1/")
        for method in route.methods
    }
    assert len(ROWS) == len({row.request for row in ROWS}) > 50
    assert {row.route for row in ROWS} <= routes


def test_our_tests_make_every_call_of_the_table() -> None:
    javascript = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("javascript/*.test.mjs"))
    python = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("python/*_suite.py"))
    assert [name for row in ROWS for name in row.javascript if not named(name, javascript)] == []
    assert [name for row in ROWS for name in row.python if not named(name, python)] == []


def named(name: str, text: str) -> bool:
    """Say whether ``text`` calls it, or hands it to what does."""
    return re.search(rf"\b{re.escape(name)}[(),]", text) is not None


@pytest.mark.skipif(not AUTH_JS.is_dir(), reason="`make clients` brings @supabase/auth-js")
def test_the_table_has_every_request_of_auth_js() -> None:
    assert {row.request for row in ROWS if row.javascript} - HAND_BUILT == set(requests_of_auth_js())


@pytest.mark.skipif(AUTH_PY is None, reason="`make clients` brings supabase from PyPI")
def test_the_table_has_every_request_of_supabase_auth() -> None:
    assert {row.route for row in ROWS if row.python} - HAND_BUILT == set(requests_of_supabase_auth())


def requests_of_auth_js() -> Iterator[str]:
    """Read what it calls; two addresses are put together first, and no test needs to know how."""
    elsewhere = {"endpoint": "/resend", "url": "/user/identities/authorize"}
    for name in ("GoTrueClient.ts", "GoTrueAdminApi.ts"):
        text = (AUTH_JS / name).read_text(encoding="utf-8")
        found = re.findall(r"_request\(\s*this\.fetch,\s*'(\w+)',\s*(?:`([^`]*)`|(\w+))", text)
        assert len(found) == len(re.findall(r"_request\(\s*this\.fetch", text))
        for method, address, variable in found:
            path = elsewhere[variable] if variable else address.removeprefix("${this.url}")
            yield f"{method} {re.sub(r'[$]{[^}]*}', '{}', path).removesuffix('?scope={}')}"


def requests_of_supabase_auth() -> Iterator[str]:
    assert AUTH_PY is not None
    for name in ("gotrue_client.py", "gotrue_admin_api.py"):
        text = (AUTH_PY / name).read_text(encoding="utf-8")
        call = r"self\._request\(\s*(?:method=)?\"(\w+)\",\s*(?:path=)?(?:f?\"([^\"]*)\"|(\w+))"
        found = re.findall(call, text)
        assert len(found) == text.count("self._request(")
        for method, address, variable in found:
            path = {"": address, "path": "token", "url": "user/identities/authorize"}.get(variable, variable)
            yield f"{method} /{re.sub(r'{[^}]*}', '{}', path)}"
