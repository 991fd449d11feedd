"""Idle memory of supervisor, API and worker together: proportional set size, summed over their processes.

    python tests/load/idle_memory.py --home .monohull [--limit-mib 240]

Asks `monohull status` which processes run and exits with 1 above the limit.
Shared pages are counted once in all (that is what *proportional* means), so the
figure is what the machine would get back if all were stopped. The supervisor
belongs to them: API and worker are its forks, and it holds what they share.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import psutil

MIB = 1024 * 1024


def tree(pid: int) -> list[psutil.Process]:
    """Return the process and its descendants."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", default=".monohull")
    parser.add_argument("--limit-mib", type=float, default=240)
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "monohull", "status", "--format", "json", "--home", arguments.home]
    status = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    total = 0.0
    trees = {role: tree(status[role]["pid"]) for role in ("api", "worker")}
    for role, processes in ({"supervisor": [psutil.Process(status["supervisor"]["pid"])]} | trees).items():
        for process in processes:
            pss = process.memory_full_info().pss / MIB
            total += pss
            print(f"{role:10} {process.pid:8} {pss:8.1f} MiB  {' '.join(process.cmdline())[:60]}")
    verdict = "within" if total <= arguments.limit_mib else "ABOVE"
    print(f"together {total:.1f} MiB, {verdict} the limit of {arguments.limit_mib:g} MiB")
    return 0 if total <= arguments.limit_mib else 1


if __name__ == "__main__":
    sys.exit(main())
