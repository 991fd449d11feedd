"""Hashes of other products: published examples, and what has to be refused before any work."""

from __future__ import annotations

import hashlib
import time
from base64 import b64encode

import bcrypt
import pytest
from argon2 import PasswordHasher, Type

from modules.auth.password_hashes import UnusableHash, check_usable, holds

PASSWORD = "correct horse"
FIREBASE_SIGNER = "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA=="
FIREBASE = (
    f"$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk={FIREBASE_SIGNER}$42xEC+ixf3L2lw=="
    "$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ=="
)
"""The example of Firebase's own tool; its password is user1password."""


def b64(raw: bytes) -> str:
    return b64encode(raw).rstrip(b"=").decode()


def scrypt(log_n: int, r: int, p: int) -> str:
    salt = b"sixteen bytes 16"
    key = hashlib.scrypt(PASSWORD.encode(), salt=salt, n=1 << log_n, r=r, p=p, dklen=32)
    return f"$scrypt$ln={log_n},r={r},p={p}${b64(salt)}${b64(key)}"


def pbkdf2(digest: str, form: str, *, rounds: int = 1000, dot: bool = False) -> str:
    salt = b"\xff\xfesalt-with-plus"
    key = hashlib.pbkdf2_hmac(digest, PASSWORD.encode(), salt, rounds)
    shown = form.format(rounds=rounds, salt=b64(salt), key=b64(key), length=len(key))
    return shown.replace("+", ".") if dot else shown


def django() -> str:
    key = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), b"text-salt", 1000)
    return f"pbkdf2_sha256$1000$text-salt${b64encode(key).decode()}"


HASHES = {
    "argon2id": PasswordHasher(1, 64, 1).hash(PASSWORD),
    "argon2i": PasswordHasher(1, 64, 1, type=Type.I).hash(PASSWORD),
    "argon2d": PasswordHasher(1, 64, 1, type=Type.D).hash(PASSWORD),
    "bcrypt 2b": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode(),
    "bcrypt 2y": "$2y" + bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()[3:],
    "bcrypt 2a": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4, prefix=b"2a")).decode(),
    "scrypt": scrypt(4, 8, 1),
    "pbkdf2 of passlib": pbkdf2("sha256", "$pbkdf2-sha256${rounds}${salt}${key}", dot=True),
    "pbkdf2 of passlib, SHA-1": pbkdf2("sha1", "$pbkdf2${rounds}${salt}${key}", dot=True),
    "pbkdf2 of Auth0": pbkdf2("sha512", "$pbkdf2-sha512$i={rounds},l={length}${salt}${key}"),
    "pbkdf2 of Django": django(),
}


@pytest.mark.parametrize("name", HASHES)
def test_each_kind_holds_for_its_password_alone(name: str) -> None:
    check_usable(HASHES[name])
    assert holds(PASSWORD, HASHES[name])
    for wrong in ("", "correct horsf", PASSWORD + "\0", "\0", "\ud800"):
        assert not holds(wrong, HASHES[name])


def test_firebase() -> None:
    check_usable(FIREBASE)
    assert holds("user1password", FIREBASE)
    assert not holds("user2password", FIREBASE)


def test_bcrypt_looks_at_72_bytes() -> None:
    stored = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert holds("x" * 100, stored)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "plain",
        "$1$md5",
        "$argon2id$broken",
        "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$" + "A" * 43,
        "$argon2id$v=19$m=64,t=1000000,p=1$c2FsdHNhbHQ$" + "A" * 43,
        "$2b$31$" + "a" * 53,
        "$2b$00$" + "a" * 53,
        "$2b$10$short",
        "$scrypt$ln=30,r=8,p=1$c2FsdA$aGFzaA",
        "$scrypt$ln=0,r=8,p=1$c2FsdA$aGFzaA",
        "$scrypt$ln=14,r=8,p=99$c2FsdA$aGFzaA",
        "$scrypt$ln=4,r=8,p=1$no base64$aGFzaA",
        "$pbkdf2-sha256$99999999$c2FsdA$aGFzaA",
        "$pbkdf2-sha256$0$c2FsdA$aGFzaA",
        "$pbkdf2-md5$1000$c2FsdA$aGFzaA",
        "pbkdf2_sha256$1000$salt",
        "$fbscrypt$v=1,n=25,r=8,p=1,ss=Bw==,sk=AAAA$c2FsdA==$aGFzaA==",
        "$fbscrypt$v=2,n=14,r=8,p=1,ss=Bw==,sk=AAAA$c2FsdA==$aGFzaA==",
    ],
)
def test_what_is_no_hash_or_would_take_too_long_is_refused_at_once(stored: str) -> None:
    began = time.thread_time()
    for refuse in (lambda: check_usable(stored), lambda: holds(PASSWORD, stored)):
        with pytest.raises(UnusableHash):
            refuse()
    assert time.thread_time() - began < 0.5
