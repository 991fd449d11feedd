"""`Refused`: a command cannot go on; one line for the person, one exit code for the script.

The exit codes are those of the command line's contract: 1 the thing checked
does not hold, 2 wrong usage or configuration, 3 a dependency is not reachable.
Refusals belong to commands; what a client of the API reads is a `Problem`.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
NOT_WRITABLE: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST})


class Refused(Exception):
    """Ends a command: the message goes to standard error, `exit_code` to the shell."""

    exit_code: ClassVar[int] = 1


class WrongSetup(Refused):
    """Configuration, permissions or files have to be changed by a person first."""

    exit_code = 2


class NotReachable(Refused):
    """Something the command depends on does not answer, or has no room left."""

    exit_code = 3


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the file system answers into a refusal that names ``path``.

    Raises:
        NotReachable: The device is full.
        WrongSetup: The folder is read-only, or belongs to somebody else.
    """
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def tells_of_full_disk(words: str) -> bool:
    """Say whether a program's complaint is that the device is full."""
    return any(os.strerror(number) in words for number in DISK_FULL)


def disk_full(path: Path) -> Refused:
    """Return the refusal for a device that has no room left."""
    return cannot_write(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


def cannot_write(path: Path, error: OSError) -> Refused:
    """Say in one line why nothing can be written below ``path``."""
    reason = error.strerror or str(error)
    if error.errno in DISK_FULL:
        return NotReachable(
            f"cannot write to {path}: {reason}; free some space, or set MONOHULL_HOME to another device"
        )
    if error.errno in NOT_WRITABLE:
        return WrongSetup(
            f"cannot write to {path}: {reason}; set MONOHULL_HOME to a folder this user may write to"
        )
    return WrongSetup(f"cannot use {path}: {reason}")
