"""A process that serves the data API and sends itself one write; `test_idempotency` kills it meanwhile."""

from __future__ import annotations

import asyncio
import json
import sys

from monohull.kernel.home import Connections
from monohull.kernel.settings.secret import Secret
from tests.application import running_app


async def main() -> None:
    sent = json.load(sys.stdin)
    connections = Connections(**{name: Secret(url) for name, url in sent["connections"].items()})
    async with running_app(connections) as served:
        response = await served.client.post(sent["path"], headers=sent["headers"], json=sent["body"])
    sys.stdout.write(str(response.status_code))


if __name__ == "__main__":
    asyncio.run(main())
