"""Run ``monohull`` many times, each in a process of its own that has imported everything already.

Reads a JSON list of ``{"arguments": […], "environ": {…}, "folder": …}`` and writes
one of ``{"code": 2, "stdout": "…", "stderr": "…"}``. A start of the interpreter
takes a second and more; a fork does not.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from monohull.cli import main
from monohull.kernel.module import load_modules
from monohull.kernel.settings import BUILTIN_MODULES


def run(arguments: list[str], environ: dict[str, str], folder: str) -> dict[str, Any]:
    """Return exit code and output of one call."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        if (child := os.fork()) == 0:
            become(arguments, environ, folder, out.fileno(), err.fileno())
        _, status = os.waitpid(child, 0)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return {"code": os.waitstatus_to_exitcode(status), "stdout": texts[0], "stderr": texts[1]}


def become(arguments: list[str], environ: dict[str, str], folder: str, out: int, err: int) -> None:
    """Be the command; does not return."""
    code: Any = 1
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environ)
        sys.argv = ["monohull", *arguments]
        main()
    except SystemExit as left:
        code = left.code
    except BaseException:  # noqa: BLE001 whatever it is, it is printed, and the code tells of it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    load_modules(BUILTIN_MODULES)
    done = [run(**asked) for asked in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))]
    sys.stdout.write(json.dumps(done))
