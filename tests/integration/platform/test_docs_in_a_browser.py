"""The interactive reference in a real browser, with no way to any other host."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration.cli.serving import serve

if TYPE_CHECKING:
    from pathlib import Path

    from monohull.kernel.home import Connections

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="Chromium is not installed (Debian: apt-get install chromium)"
    ),
]


def render(url: str, profile: Path) -> str:
    """Return the page's DOM after its scripts ran; names of other hosts do not resolve."""
    assert CHROMIUM is not None
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--user-data-dir={profile}",
        # the page draws what is in sight, so everything has to be
        "--window-size=1280,30000",
        "--virtual-time-budget=15000",
        "--dump-dom",
        url,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout


def test_the_reference_shows_every_operation(connections: Connections, tmp_path: Path) -> None:
    with serve(connections, tmp_path) as url:
        page = render(f"{url}/docs", tmp_path / "profile")
    for text in (
        "Monohull platform API",
        "/platform/v1/status",
        "/health/ready",
        "/auth/v1/token",
        "/platform/v1/api-keys",
    ):
        assert text in page, text
    assert "Failed to load" not in page
