#!/usr/bin/env python3
"""Ask the process of this container how it is: ``healthcheck [live|ready|startup|worker|worker-ready]``.

The API has its routes of health on its port, a worker the same ones on
``MONOHULL_WORKER_HEALTH_PORT``. Leaves with 0 or 1.
"""

from __future__ import annotations

import http.client
import os
import sys

ASKED = {
    "live": ("MONOHULL_PORT", "8000", "/health/live"),
    "ready": ("MONOHULL_PORT", "8000", "/health/ready"),
    "startup": ("MONOHULL_PORT", "8000", "/health/startup"),
    "worker": ("MONOHULL_WORKER_HEALTH_PORT", "8001", "/health/live"),
    "worker-ready": ("MONOHULL_WORKER_HEALTH_PORT", "8001", "/health/ready"),
}
SECONDS = 4.0


def main(arguments: list[str]) -> int:
    """Return 0 when the process answers with 200."""
    variable, default, path = ASKED[arguments[0] if arguments else "live"]
    connection = http.client.HTTPConnection(
        "127.0.0.1", int(os.environ.get(variable, default)), timeout=SECONDS
    )
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        return int(connection.getresponse().status != http.client.OK)
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"no answer: {error}\n")
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
