"""The management API: health, metrics, the description of the API, what runs here.

Wire: our own, under ``/platform/v1``; errors are RFC 9457 problems.
"""

from __future__ import annotations
