"""Monohull: a complete self-hosted backend in one hull."""

__version__ = "0.1.0"
