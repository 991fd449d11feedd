"""The guide about refusals shows what the commands print."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docs.test_tutorial import Running, shell, start

if TYPE_CHECKING:
    from collections.abc import Iterator

GUIDE = Path(__file__).parents[2] / "docs/how-to/explain-a-refusal.md"
BLOCKS = re.compile(r"^```sh\n(.*?)^```\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def storefront(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("storefront")
    (folder / ".venv").symlink_to(sys.prefix)
    yield from start("storefront", folder)


def shown(text: str) -> list[str]:
    """Lines without their ends and without what differs from one start to the next."""
    return [line.rstrip() for line in text.strip().splitlines()]


@pytest.mark.slow
def test_the_guide_shows_what_is_printed(storefront: Running) -> None:
    blocks = BLOCKS.findall(GUIDE.read_text(encoding="utf-8"))
    assert len(blocks) >= 4
    before = ""
    for script, expected in blocks:
        assert shown(shell(before + "echo ---\n" + script, storefront.folder).partition("---\n")[2]) == shown(
            expected
        ), script
        before += "".join(line + "\n" for line in script.splitlines() if re.match(r"[A-Z]+=|eval", line))
