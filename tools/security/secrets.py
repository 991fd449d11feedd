"""Look for secrets in every file of the repository, and in the texts of its tests for those with a shape.

Everything is looked through for keys and tokens that have a shape of their own.
Passwords and what looks random are looked for where the product, its tools and
its deployment are; tests and guides are full of made-up ones. What is known and
no secret is in ``known_secrets.toml``, by file and hash.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Final, NamedTuple

from tools.security.places import ROOT
from tools.security.result import Result, run, undecided

KNOWN: Final = Path(__file__).with_name("known_secrets.toml")
HASH_CHARACTERS: Final = 12

PASSED_OVER: Final = (".lock", "package-lock.json", ".svg", ".png", ".ico", ".min.js")
"""Hashes of packages, and pictures."""
VENDORED: Final = ("src/modules/platform/static/",)
MADE_UP: Final = (
    "tests/",
    "docs/",
    "examples/",
    "changes/",
    "CHANGELOG.md",
    "README.md",
    "tools/security/known_secrets.toml",
)
"""Full of what only looks like a secret."""
BY_GUESS: Final = ("KeywordDetector", "Base64HighEntropyString", "HexHighEntropyString", "BasicAuthDetector")
NEVER: Final = ("IPPublicDetector",)


class Secret(NamedTuple):
    """Something that looks like one."""

    path: str
    line: int
    kind: str
    hash: str


def check(folder: Path = ROOT) -> Result:
    """Return what looks like a secret and is not known to be none."""
    every = files(folder)
    made_up = [name for name in every if name.startswith(MADE_UP)]
    rest = [name for name in every if not name.startswith(MADE_UP)]
    try:
        secrets = [*scan(folder, rest, NEVER), *scan(folder, made_up, (*NEVER, *BY_GUESS))]
    except FileNotFoundError:
        return undecided("detect-secrets is not installed: make install-deploy")
    excused = known()
    found = [secret for secret in secrets if (secret.path, secret.hash) not in excused]
    lines = [
        f"{one.path}:{one.line}: {one.kind}; take it out and change it, or enter {one.hash!r} in {KNOWN.name}"
        for one in found
    ]
    return Result(lines, f"{len(every)} files, {len(secrets) - len(found)} are known to be none")


def files(folder: Path) -> list[str]:
    """Return the files of the repository, those that are new too; of another folder, all."""
    ran = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607 of the developer
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    listed = ran.stdout.splitlines() if ran.returncode == 0 else []
    if not listed:
        listed = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return sorted(
        name
        for name in listed
        if not name.endswith(PASSED_OVER) and not name.startswith(VENDORED) and (folder / name).is_file()
    )


def scan(folder: Path, names: list[str], without: tuple[str, ...]) -> list[Secret]:
    """Return what detect-secrets finds in some files."""
    if not names:
        return []
    off = [argument for name in without for argument in ("--disable-plugin", name)]
    ran = run("detect-secrets", "scan", "--no-verify", *off, *names, folder=folder)
    results: dict[str, list[dict[str, Any]]] = json.loads(ran.stdout)["results"]
    return [
        Secret(path, one["line_number"], one["type"], one["hashed_secret"][:HASH_CHARACTERS])
        for path, ones in sorted(results.items())
        for one in ones
    ]


def known() -> set[tuple[str, str]]:
    """Return the path and hash of what is no secret, each with a reason."""
    entries = tomllib.loads(KNOWN.read_text(encoding="utf-8")).get("known", [])
    if unexplained := [entry["path"] for entry in entries if not entry.get("why")]:
        raise ValueError(f"{KNOWN.name}: {unexplained[0]} has no reason")
    return {(entry["path"], one) for entry in entries for one in entry["hashes"]}


def hash_of(secret: str) -> str:
    """Return what ``known_secrets.toml`` calls a secret."""
    return hashlib.sha1(secret.encode(), usedforsecurity=False).hexdigest()[:HASH_CHARACTERS]
