"""`make security` finds what it is for: each check is shown a planted mistake, and our own source."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

import tools.security.__main__ as pipeline
from tests.deploy.bench import program
from tools.security import bandit, dependencies, rules, scan, secrets
from tools.security.places import SOURCE, exceptions, unexcused, unused
from tools.security.result import Result, undecided

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# --- our own rules ---------------------------------------------------------------------------


def test_our_source_keeps_our_rules() -> None:
    places = rules.look_through([SOURCE])
    assert unexcused(places, exceptions()) == []
    assert [entry for entry in unused(places, exceptions()) if not entry[0].startswith("B")] == []


MISTAKES = {
    "sql-text": 'async def f(c, name):\n    await c.execute(f"drop table {name}")\n',
    "asserted-access": "def f(principal):\n    assert principal.may_delete\n",
    "other-client": "import httpx\nasync def f(url):\n    return httpx.AsyncClient()\n",
    "timed-comparison": "def f(given, secret):\n    return given == secret\n",
    "read-environment": "import os\nlevel = os.environ['LEVEL']\n",
    "guessable": "import random\ncode = ''.join(random.choices('0123456789', k=6))\n",
    "unchecked-certificate": "def f(get, url):\n    return get(url, verify=False)\n",
    "loose-algorithm": 'def f(decode, t):\n    return decode(t, options={"verify_signature": False})\n',
}


@pytest.mark.parametrize("rule", rules.RULES)
def test_a_rule_finds_a_planted_mistake(rule: str) -> None:
    found = list(rules.judge(MISTAKES[rule], "modules/shop/services.py"))
    assert [place.rule for place in found] == [rule]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('def f(c, name):\n    c.execute(f"drop table {identifier(name)}")\n', "modules/a.py"),
        ('def f(c):\n    c.execute(f"drop table {TABLE}")\n', "modules/a.py"),
        ("def f(row):\n    assert row is not None\n", "modules/a.py"),
        ("import httpx\nclient = httpx.AsyncClient()\n", "monohull/kernel/outbound/client.py"),
        ("import httpx\ntry: pass\nexcept httpx.HTTPError: pass\n", "modules/a.py"),
        ("def f(a):\n    return Session.token == a\n", "modules/a.py"),
        ("import os\nos.environ\n", "monohull/cli/up.py"),
        ("import secrets\ncode = secrets.randbelow(10)\n", "modules/a.py"),
        ("import random\nwait = random.random()\n", "modules/a.py"),
    ],
)
def test_what_is_right_is_left_alone(text: str, path: str) -> None:
    assert list(rules.judge(text, path)) == []


def test_a_token_without_a_signature_is_found() -> None:
    (place,) = rules.judge('decode(token, algorithms=["HS256", "none"])\n', "modules/a.py")
    assert (place.rule, place.found) == ("loose-algorithm", "none")


def test_an_excused_place_excuses_no_other() -> None:
    text = 'c.execute(f"drop table {table}")\nc.execute(f"drop table {other}")\n'
    found = unexcused(rules.judge(text, "modules/audit/partitions.py"), exceptions())
    assert [place.found for place in found] == ["other"]


def test_the_command_leaves_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.py").write_text(MISTAKES["sql-text"], encoding="utf-8")
    assert rules.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.startswith("a.py:2: sql-text: name: becomes SQL text")


# --- bandit ----------------------------------------------------------------------------------


BANDITS = {
    "B602": "import subprocess\nsubprocess.run(name, shell=True)\n",
    "B301": "import pickle\npickle.loads(body)\n",
    "B506": "import yaml\nyaml.load(body)\n",
    "B324": "import hashlib\nhashlib.md5(b'')\n",
    "B307": "eval(body)\n",
}


def test_bandit_finds_a_planted_mistake(tmp_path: Path) -> None:
    program("bandit")
    for rule, text in BANDITS.items():
        (tmp_path / f"{rule.lower()}.py").write_text(text, encoding="utf-8")
    found = bandit.check([tmp_path]).found
    for rule in BANDITS:
        assert any(f"{rule.lower()}.py:" in line and f": {rule}: " in line for line in found), (rule, found)


@pytest.mark.slow
def test_bandit_is_content_with_our_source() -> None:
    program("bandit")
    result = bandit.check()
    assert (result.state, result.found) == ("ok", [])


# --- secrets ---------------------------------------------------------------------------------

PLANTED = {
    "src/keys.py": f'AWS = "AKIA{"Q7ZK" * 4}"\n',
    "deploy/values.yaml": 'smtp_password: "v8#kQ2!mZx7$Lp0w"\n',
    "tests/test_a.py": f'TOKEN = "ghp_{"a1B2c3D4e5F6" * 3}"\n',
    "docs/a.md": "-----BEGIN RSA " + "PRIVATE KEY-----\n",
}


def test_a_planted_secret_is_found(tmp_path: Path) -> None:
    program("detect-secrets")
    for path, text in PLANTED.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    found = secrets.check(tmp_path).found
    for path in PLANTED:
        assert any(line.startswith(f"{path}:1: ") for line in found), (path, found)


def test_a_made_up_password_of_a_test_is_none(tmp_path: Path) -> None:
    program("detect-secrets")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_a.py").write_text('password = "analytical-engine"\n', encoding="utf-8")
    assert secrets.check(tmp_path).state == "ok"


def test_what_is_known_to_be_none_has_a_reason() -> None:
    assert secrets.known()
    assert secrets.hash_of("password") == "5baa61e4c9b9"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_file_of_ours_has_a_secret() -> None:
    program("detect-secrets")
    result = secrets.check()
    assert (result.state, result.found) == ("ok", [])


# --- dependencies ----------------------------------------------------------------------------


def test_a_dependency_with_an_advisory_is_found() -> None:
    report = {
        "dependencies": [
            {"name": "good", "version": "1", "vulns": []},
            {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]},
        ]
    }
    result = dependencies.read(json.dumps(report), "")
    assert result.state == "FOUND"
    assert result.found == ["bad 2: PYSEC-1, mended in 3"]


@pytest.mark.parametrize(
    "report",
    [
        "",
        "{}",
        '{"dependencies": []}',
        '{"dependencies": [{"name": "a", "skip_reason": "not found"}]}',
        '{"dependencies": [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "x"}]}',
    ],
)
def test_silence_of_the_advisories_is_not_ok(report: str) -> None:
    result = dependencies.read(report, "no route")
    assert result.state == "UNDECIDED"
    assert result.said.startswith("not checked: ")


@pytest.mark.slow
def test_pip_audit_finds_an_old_library_or_says_that_it_cannot_know(tmp_path: Path) -> None:
    """Django 1.11 has dozens of advisories: whoever reaches a database of them finds some."""
    program("pip-audit")
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"django==1.11.0 --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    assert dependencies.check(lock).state in {"FOUND", "UNDECIDED"}


# --- the scan --------------------------------------------------------------------------------


class Careless(BaseHTTPRequestHandler):
    """Repeats what it is asked for, as HTML."""

    def do_GET(self) -> None:
        said = parse_qs(urlsplit(self.path).query).get("name", ["nobody"])[0]
        body = f"<html><body><a href='/?name=a'>again</a><p>{said}</p></body></html>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def careless() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Careless)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_wapiti_finds_a_planted_hole(careless: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program("wapiti")
    monkeypatch.setattr(scan, "MODULES", "xss")
    result = scan.scan(careless, tmp_path, [f"{careless}/?name=a"], headers={})
    assert result.state == "FOUND", result
    assert any("Scripting" in line and " name" in line for line in result.found), result.found


def test_the_key_is_read_from_what_status_prints() -> None:
    assert scan.key_of("MONOHULL_URL=http://x\nANON_KEY='a.b.c'\n") == "a.b.c"


# --- all of them -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("results", "offline", "code"),
    [
        ([Result()], False, 0),
        ([Result(), Result(["x"]), undecided("away")], False, 1),
        ([Result(), undecided("away")], False, 3),
        ([Result(), undecided("away")], True, 0),
        ([Result(["x"]), undecided("away")], True, 1),
    ],
)
def test_the_code_tells_found_from_not_checked(results: list[Result], offline: bool, code: int) -> None:
    assert pipeline.code_of({str(n): result for n, result in enumerate(results)}, offline=offline) == code


def test_the_command_says_what_it_could_not_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(pipeline.CHECKS, "dependencies", lambda: undecided("no advisories were reached"))
    assert pipeline.main(["dependencies"]) == 3
    assert "UNDECIDED" in (said := capsys.readouterr().out)
    assert "not checked: no advisories were reached" in said
    assert pipeline.main(["dependencies", "--offline"]) == 0
    assert pipeline.main(["dependency"]) == 2
