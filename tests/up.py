"""`Run`: a supervisor in a process of its own, watched from outside as a person would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from monohull.kernel.embedded import discard
from monohull.kernel.embedded.process import identity, programs_in
from monohull.kernel.home import Home, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PATIENCE_SECONDS = 60.0


class Run:
    """Starts a command that supervises ``home``, and looks at what it does.

    Args:
        folder: Working directory; also of the home and the captured output.
        command: What to run, without ``--home``.
        environ: Added to the environment.
    """

    def __init__(
        self, folder: Path, command: Sequence[str], environ: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.home = Home(folder / "home")
        self._command = [*command, "--home", str(self.home.path)]
        clean = {name: text for name, text in os.environ.items() if not name.startswith("MONOHULL_")}
        self._environ = {**clean, **(environ or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self.home.path.exists():
            discard(self.home.path)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text(encoding="utf-8", errors="replace")

    def start(self, *options: str) -> Self:
        """Start it without waiting."""
        with (self.folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [*self._command, *options], cwd=self.folder, env=self._environ, stdout=output, stderr=output
            )
        return self

    def ready(self, *options: str) -> Self:
        """Start it and wait until it says that it is ready."""
        self.start(*options)
        self.until(lambda: "Ctrl-C stops" in self.output, "it is not ready")
        return self

    def until(self, holds: Callable[[], object], complaint: str) -> None:
        """Wait until ``holds`` is true."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            if holds():
                return
            assert self._process is None or self._process.poll() is None or holds(), self.output
            time.sleep(0.02)
        raise AssertionError(f"{complaint}:\n{self.output}")

    def ended(self) -> int:
        """Wait for the end and return the exit code."""
        assert self._process is not None
        return self._process.wait(PATIENCE_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def state(self) -> State:
        state = self.home.read_state()
        assert state is not None, self.output
        return state

    def servers(self) -> list[int]:
        """Return the embedded servers that live for this home."""
        relocated = self.home.path / "relocated"
        root = Path(relocated.read_text().strip()) if relocated.exists() else self.home.path
        return [
            *programs_in((root / "postgres").resolve(), "postgres"),
            *programs_in((root / "redis").resolve(), "valkey-server"),
        ]


def open_folder() -> Path:
    """Return a new folder that the servers' account can pass, so that nothing is kept outside of it."""
    folder = Path(tempfile.mkdtemp(prefix="monohull-up-"))
    folder.chmod(0o755)
    return folder


def alive(pid: int) -> bool:
    return identity(pid) is not None


PYTHON = sys.executable
