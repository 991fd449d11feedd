"""Stands in for the product's commands, so that the supervisor is tested alone and fast.

    python tiny.py up [--fresh] [--services-only] ...    a real supervisor with the commands below
    python tiny.py migrate | serve --port N | worker     children; TINY_* variables make them fail

They are forks, as the product's are, unless ``TINY_UNLOADABLE`` is set. Each start leaves a line in
``$TINY_LOG``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from monohull.kernel.refusals import Refused
from monohull.kernel.schema import ADVICE
from monohull.kernel.supervisor import Forks, Supervisor, make_plan

if TYPE_CHECKING:
    from collections.abc import Sequence


def note(line: str) -> None:
    with Path(os.environ["TINY_LOG"]).open("a", encoding="utf-8") as log:
        log.write(f"{line}\n")


def outdated_mark() -> Path:
    """Return the file whose presence means that migrations are pending."""
    return Path(os.environ["TINY_LOG"] + ".outdated")


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        outdated = outdated_mark().exists()
        ready = not outdated and not Path(os.environ["TINY_LOG"] + ".unready").exists()
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(msgspec.json.encode({"status": ADVICE["pending"] if outdated else "tiny"}))

    def log_message(self, *_: object) -> None:
        pass


def up(options: argparse.Namespace) -> int:
    plan = make_plan(
        os.environ,
        directory=Path.cwd(),
        options={"home": options.home, "port": options.port},
        fresh=options.fresh,
        services_only=options.services_only,
    )
    plan = msgspec.structs.replace(plan, program=(sys.executable, __file__))
    try:
        return Supervisor(plan, show=show, say=say, forks=Forks(load, run)).run()
    except Refused as refused:
        say(str(refused))
        return refused.exit_code


def load() -> None:
    if "TINY_UNLOADABLE" in os.environ:
        raise ImportError("half of it is missing")


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def show(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def child(name: str, port: str) -> int:
    note(f"{name} {os.getpid()}")
    time.sleep(float(os.environ.get(f"TINY_{name.upper()}_SLEEP", "0")))
    if code := os.environ.get(f"TINY_{name.upper()}_EXIT"):
        say(f"{name} says why")
        return int(code)
    if name == "migrate":
        outdated_mark().unlink(missing_ok=True)
        return 0
    if os.environ.get("TINY_DEAF"):
        signal.signal(signal.SIGTERM, lambda *_: note(f"{name}-deaf {os.getpid()}"))
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        note(f"{name}-grandchild {grandchild.pid}")
        if name == "serve":
            HTTPServer.allow_reuse_address = True
            HTTPServer(("127.0.0.1", int(port)), Ready).serve_forever()
        while True:
            time.sleep(1)
    finally:
        note(f"{name}-stopped {os.getpid()}")
        with contextlib.suppress(ProcessLookupError):
            grandchild.kill()


def run(words: Sequence[str] | None = None) -> NoReturn:
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.add_argument("--home", required=True)
    parser.add_argument("--port", default="0")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--services-only", action="store_true")
    parser.add_argument("--seed", action="store_true")
    parser.add_argument("--checked", action="store_true")
    arguments = parser.parse_args(words)
    sys.exit(up(arguments) if arguments.command == "up" else child(arguments.command, arguments.port))


if __name__ == "__main__":
    run()
