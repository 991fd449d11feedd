"""HTTP to addresses that other people chose, without becoming their hands inside the network.

A name is resolved once, every answer is checked (`destinations`), and the
connection goes to a checked address while the ``Host`` header, SNI and the
certificate keep the name: there is no second look-up that could answer
otherwise. Nothing of the environment is used: no proxy, no cookie, no
``.netrc``. Sizes are counted while they stream, after decompression too, and a
request as a whole has a deadline.
"""

from monohull.kernel.outbound.client import Outbound, OutboundLimits, Reply, resolve
from monohull.kernel.outbound.destinations import Destinations, destinations
from monohull.kernel.outbound.errors import OutboundFailed, OutboundRefused

__all__ = [
    "Destinations",
    "Outbound",
    "OutboundFailed",
    "OutboundLimits",
    "OutboundRefused",
    "Reply",
    "destinations",
    "resolve",
]
