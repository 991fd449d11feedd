"""Leaked passwords in a file. Its endpoint is tested over HTTP, beside the flows."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from modules.auth.breaches import Breaches, find_line
from modules.auth.errors import WeakPassword
from modules.auth.passwords import Passwords
from monohull.kernel.outbound import Outbound

if TYPE_CHECKING:
    from pathlib import Path


def sha1(password: str) -> str:
    return hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("form", ["{}", "{}:17"])
@pytest.mark.parametrize("count", [1, 2, 3, 100])
def test_every_line_is_found_and_no_other(tmp_path: Path, count: int, form: str, ending: str) -> None:
    path = tmp_path / "leaked"
    known = sorted(sha1(f"leaked {number}") for number in range(count))
    for last in ("", ending):
        path.write_text(ending.join(form.format(digits) for digits in known) + last, newline="")
        assert all(find_line(path, digits) for digits in known)
        assert not any(find_line(path, sha1(f"other {number}")) for number in range(50))
        assert not find_line(path, "0" * 40)
        assert not find_line(path, "F" * 40)


async def test_a_leaked_password_is_weak(tmp_path: Path) -> None:
    path = tmp_path / "leaked"
    path.write_text(sha1("password1") + "\n")
    passwords = Passwords(breaches=Breaches(Outbound(), file=path))
    with pytest.raises(WeakPassword) as caught:
        await passwords.hash("password1")
    assert caught.value.reasons == ("pwned",)
    assert (await passwords.rehash("password1")).startswith("$argon2id$")
    assert (await passwords.hash("password2")).startswith("$argon2id$")


async def test_a_file_that_is_gone_lets_pass_or_not(tmp_path: Path) -> None:
    path = tmp_path / "gone"
    assert not await Breaches(Outbound(), file=path).know("x")
    with pytest.raises(Exception, match="cannot be looked up"):
        await Breaches(Outbound(), file=path, fails_closed=True).know("x")
