"""Hooks: code of the project that is asked before something happens, and may change or refuse it.

A hook is a function in PostgreSQL, a signed HTTP call (Standard Webhooks), or a
Python function. All of them get JSON, answer with JSON, and have little time.
What decides whether somebody gets in fails closed: a hook that does not answer
refuses.

Payloads and answers: supabase/auth, ``internal/hooks/v0hooks``.
"""

from __future__ import annotations

from modules.auth.hooks.errors import HookFailed, HookRejected, HookTimeout
from modules.auth.hooks.points import Hooks, build_hooks
from modules.auth.hooks.rehearsal import once

__all__ = ["HookFailed", "HookRejected", "HookTimeout", "Hooks", "build_hooks", "once"]
