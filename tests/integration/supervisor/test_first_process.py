"""As the first process of a container, the supervisor inherits orphans; somebody has to bury them."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, os, subprocess, sys, time
from monohull.kernel.supervisor.child import reap_strangers
assert ctypes.CDLL(None).prctl(36, 1) == 0  # PR_SET_CHILD_SUBREAPER: orphans come to us
own = subprocess.Popen(["sleep", "0"])
code = "import subprocess; print(subprocess.Popen(['sleep', '0.2']).pid)"
middle = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
orphan = int(middle.communicate()[0])
while open(f"/proc/{orphan}/stat").read().rpartition(")")[2].split()[0] != "Z":
    time.sleep(0.05)
reap_strangers({own.pid})  # our own dead child stands in front, and is left to whoever waits for it
assert own.wait() == 0
reap_strangers(set())
assert not os.path.exists(f"/proc/{orphan}")
reap_strangers(set())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="orphans go to the first process only there")
def test_orphans_are_reaped_and_own_children_are_not() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
