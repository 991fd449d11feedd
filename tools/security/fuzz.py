"""Send what the descriptions of the API allow, and what they do not, with schemathesis.

The tests of ``tests/fuzz`` do it against a real server. ``FUZZ_EXAMPLES`` is how
many requests each operation gets from each caller.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from tools.security.result import Result, run, undecided

TESTS: Final = ("tests/fuzz/test_descriptions.py", "tests/fuzz/test_auth_description.py")
EXAMPLES: Final = "2"
NO_TESTS: Final = 5


def check() -> Result:
    """Run the tests of the descriptions, the slow ones too."""
    environ = {"FUZZ_EXAMPLES": EXAMPLES, **os.environ}
    ran = run(Path(sys.executable), "-m", "pytest", "-q", "--tb=short", *TESTS, environ=environ)
    lines = ran.stdout.strip().splitlines() or ["pytest said nothing"]
    if ran.returncode == NO_TESTS or " skipped" in lines[-1]:
        return undecided(lines[-1])
    if ran.returncode != 0:
        return Result([line for line in lines if line.startswith(("E ", "FAILED", "ERROR"))] or lines[-20:])
    return Result(
        said=f"{lines[-1].strip('= ')}, {environ['FUZZ_EXAMPLES']} requests an operation and caller"
    )
