"""Whom the embedded servers run as, and whether that account can get at a path.

PostgreSQL refuses to run as root, so root starts the servers as ``nobody``;
an ordinary user runs them as itself. An account that is not the caller's
cannot pass a folder without the search bit (a home of mode 0700, say): what it
needs is then kept in a folder of its own outside.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from monohull.kernel.refusals import WrongSetup, writing

if TYPE_CHECKING:
    from collections.abc import Sequence

CANDIDATES: Final = ("nobody", "postgres")
RELOCATED: Final = "relocated"
"""File in a state folder that names the folder used in its place."""
DURABLE_ROOT: Final = Path("/var/lib/monohull")
"""Where root keeps relocated data. Not below ``/var/tmp``: that is swept by age on many systems."""


class Account(Struct, frozen=True):
    """An unprivileged account of this machine."""

    name: str
    uid: int
    gid: int


def service_account() -> Account | None:
    """Return the account for servers when we are root, None when they run as ourselves.

    Raises:
        WrongSetup: We are root and there is no account to drop to, or our own
            uid has no entry in the password database (initdb demands one).
    """
    if os.geteuid() != 0:
        try:
            pwd.getpwuid(os.geteuid())
        except KeyError:
            raise WrongSetup(
                f"user id {os.geteuid()} has no entry in the password database, "
                "which the embedded PostgreSQL needs; add one, "
                "or set MONOHULL_DATABASE_URL and MONOHULL_REDIS_URL"
            ) from None
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise WrongSetup(
        "PostgreSQL does not run as root and there is no account 'nobody' or 'postgres' to run it as; "
        "add one, or set MONOHULL_DATABASE_URL and MONOHULL_REDIS_URL"
    )


def spawn_identity(account: Account | None) -> dict[str, Any]:
    """Return the arguments of `subprocess.Popen` that make the child run as ``account``.

    All three are needed: ``user`` alone leaves group 0 and root's other groups.
    """
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def may_pass(folder: os.stat_result, account: Account) -> bool:
    """Say whether ``account`` has the search bit of a folder (access lists are not looked at)."""
    if folder.st_uid == account.uid:
        return bool(folder.st_mode & stat.S_IXUSR)
    if folder.st_gid == account.gid:
        return bool(folder.st_mode & stat.S_IXGRP)
    return bool(folder.st_mode & stat.S_IXOTH)


def is_reachable(path: Path, account: Account | None) -> bool:
    """Say whether ``account`` can pass ``path`` and every folder above it."""
    if account is None:
        return True
    resolved = path.resolve()
    return all(may_pass(part.stat(), account) for part in (resolved, *resolved.parents))


def give(path: Path, account: Account | None) -> None:
    """Make ``account`` the owner of ``path``."""
    if account is not None:
        os.chown(path, account.uid, account.gid)


def own_directory(path: Path, account: Account | None) -> Path:
    """Create ``path`` if it is missing, as a folder that only ``account`` opens."""
    path.mkdir(mode=0o700, exist_ok=True)
    give(path, account)
    return path


def service_folder(state: Path, account: Account | None, *, durable: bool) -> Path:
    """Return the folder that holds the servers' files for ``state``.

    That is ``state`` itself when ``account`` can get there, else a folder
    elsewhere whose path is kept in ``state/relocated``. The record and not a
    hash of the path leads there, so that a home may be moved, and a deleted
    home does not come back with old data.

    Raises:
        WrongSetup: ``state`` cannot be written, or the recorded folder is not ours.
    """
    with writing(state):
        state.mkdir(parents=True, exist_ok=True, mode=0o711)
        record = state / RELOCATED
        if record.exists():
            return _recorded(Path(record.read_text(encoding="utf-8").strip()), record)
        if is_reachable(state, account):
            return state.resolve()
        folder = _new_folder(durable=durable)
        # for whoever finds it after the home was deleted by hand
        (folder / "README").write_text(f"Data of the Monohull home {state.resolve()}\n", encoding="utf-8")
        draft = record.with_name(f"{RELOCATED}.{secrets.token_hex(4)}")
        draft.write_text(f"{folder}\n", encoding="utf-8")
        draft.rename(record)
        return folder


def discard(state: Path, *, last: Sequence[str] = ()) -> None:
    """Delete ``state`` and the folder that stands in its place, with all data.

    Args:
        state: Folder that was given to `service_folder`.
        last: Names in it that go after all others, so that an interrupted
            deletion leaves them. The folder itself may stay: it can be a mount.

    Raises:
        WrongSetup: The recorded folder is not ours; nothing was deleted.
    """
    record = state / RELOCATED
    if record.exists():
        shutil.rmtree(_recorded(Path(record.read_text(encoding="utf-8").strip()), record))
    for entry in sorted(
        state.iterdir(),
        key=lambda entry: (entry.name in last, last.index(entry.name) if entry.name in last else 0),
    ):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    with contextlib.suppress(OSError):
        state.rmdir()


def _recorded(folder: Path, record: Path) -> Path:
    if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.geteuid():
        raise WrongSetup(
            f"{record} says that the data is in {folder}, which is no folder of this user; "
            "bring the folder back, or start a new home with --fresh"
        )
    return folder


def _new_folder(*, durable: bool) -> Path:
    parent = Path(tempfile.gettempdir())
    if durable:
        parent = DURABLE_ROOT
        parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="monohull-", dir=parent))
    folder.chmod(0o711)
    return folder
