"""Writes and checks what lies in ``deploy/``."""
