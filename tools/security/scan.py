"""Let wapiti loose on a running instance of the example project, for a bounded time.

The instance is started here, in a home of its own, and ended afterwards. Wapiti
crawls from the root and from every GET of ``/openapi.json``, with the key of
strangers; modules that need a server on the internet to call back are left out.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.security.result import TOOLS, Result, run, undecided

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MODULES: Final = "cookieflags,crlf,csp,exec,file,http_headers,permanentxss,redirect,sql,xss"
CRAWL_SECONDS: Final = int(os.environ.get("SCAN_SECONDS", "120"))
ATTACK_SECONDS: Final = 60
"""For each module."""
START_SECONDS: Final = 120.0
MAX_ADDRESSES: Final = 60

EXPECTED: Final[Mapping[str, str]] = {
    "GET / : Strict-Transport-Security is not set": "what ends TLS says it; the instance here speaks HTTP",
    "GET / : CSP is not set": "the root is JSON and no page; pages have a policy",
    "GET / : X-Frame-Options is not set": "the same; the policies of pages have frame-ancestors",
}
"""Findings that are none here, each with its reason."""


def check() -> Result:
    """Start an instance, scan it, and return what wapiti calls a vulnerability."""
    if not (TOOLS / "wapiti").exists():
        return undecided("wapiti is not installed: make install-deploy")
    with tempfile.TemporaryDirectory(prefix="monohull-scan-") as folder, instance(Path(folder)) as (url, key):
        return scan(url, Path(folder), addresses(url), headers={"apikey": key})


def scan(url: str, folder: Path, starts: Sequence[str], *, headers: Mapping[str, str]) -> Result:
    """Return what wapiti finds below ``url``."""
    report = folder / "report.json"
    ran = run(
        "wapiti", "--url", f"{url}/", "--scope", "domain", "--module", MODULES, "--level", "1",
        "--max-scan-time", str(CRAWL_SECONDS), "--max-attack-time", str(ATTACK_SECONDS), "--timeout", "5",
        "--store-session", folder / "session", "--store-config", folder / "config",
        "--no-bugreport", "--format", "json", "--output", report, "--verbose", "0",
        *(part for start in starts for part in ("--start", start)),
        *(part for name, value in headers.items() for part in ("--header", f"{name}: {value}")),
    )  # fmt: skip
    if not report.exists():
        return undecided(f"wapiti left with {ran.returncode}: {(ran.stderr or ran.stdout).strip()[-200:]}")
    document = json.loads(report.read_text(encoding="utf-8"))
    found = [
        f"{kind}: {what}"
        for kind, ones in document["vulnerabilities"].items()
        for one in ones
        if (what := f"{one['method']} {one['path']} {one.get('parameter') or ''}: {one['info']}")
        not in EXPECTED
    ]
    pages = document["infos"].get("crawled_pages", 0)
    return (
        Result(found, f"{pages} pages, modules {MODULES}") if pages else undecided("wapiti reached no page")
    )


def addresses(url: str) -> list[str]:
    """Return addresses to begin from: every GET that needs nothing in its path, and rows with filters."""
    description = json.loads(fetch(f"{url}/openapi.json"))
    starts = [
        f"{url}/docs",
        f"{url}/rest/v1/products?select=*&id=eq.1",
        f"{url}/rest/v1/products?name=like.a*",
    ]
    for path, operations in sorted(description["paths"].items()):
        if "get" in operations and "{" not in path:
            names = [one["name"] for one in operations["get"].get("parameters", ()) if one["in"] == "query"]
            query = "&".join(f"{name}=1" for name in names)
            starts.append(f"{url}{path}?{query}" if query else f"{url}{path}")
    return starts[:MAX_ADDRESSES]


@contextmanager
def instance(home: Path) -> Iterator[tuple[str, str]]:
    """Yield the URL and the anonymous key of ``monohull up`` with the example storefront."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "monohull"]
    at_home = ["--home", str(home / "home")]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MONOHULL_")}
    with (home / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "up", "--port", str(port), "--example", "storefront", *at_home],
            cwd=home,
            env=environ,
            stdout=log,
            stderr=log,
        )
    try:
        wait(f"http://127.0.0.1:{port}", process)
        told = subprocess.run(
            [*command, "status", "--format", "env", *at_home],
            cwd=home,
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        yield f"http://127.0.0.1:{port}", key_of(told.stdout)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def key_of(status: str) -> str:
    """Return the anonymous key that ``monohull status --format env`` tells."""
    told = dict(line.partition("=")[::2] for line in status.splitlines())
    return str(told["ANON_KEY"]).strip("'\"")


def wait(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the instance is ready.

    Raises:
        RuntimeError: It ended or is not ready in time.
    """
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            fetch(f"{url}/health/ready")
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError("the instance did not become ready")


def fetch(url: str) -> bytes:
    """Return the body of an address on loopback."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 http:// of our own
        body: bytes = answer.read()
    return body
