"""Read a Dockerfile and a ``.dockerignore``, and say what of our own rules they break."""

from __future__ import annotations

import json
import re
import shlex
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import PurePath

BUILD_TOOLS: Final = re.compile(
    r"\b(gcc|g\+\+|make|build-essential|[a-z0-9.+-]+-dev|python3-pip|git|curl|wget)\b"
)
COMMANDS: Final = ("serve", "worker", "migrate")
SECRET: Final = re.compile(r"(?i)(secret|password|token|_key)\b[^ ]*=")
DEMANDED: Final = ("HEALTHCHECK", "ENTRYPOINT", "CMD", "STOPSIGNAL")
LABELS: Final = tuple(
    f"org.opencontainers.image.{name}" for name in ("title", "licenses", "version", "revision")
)


class Instruction(Struct, frozen=True):
    """One instruction with what it is given; lines that are continued are joined."""

    name: str
    text: str
    line: int

    @property
    def words(self) -> list[str]:
        """Its words, whether it is written as a list or as a line."""
        if self.text.startswith("["):
            return [str(word) for word in json.loads(self.text)]
        return shlex.split(self.text)


class Stage(Struct, frozen=True):
    """What one ``FROM`` begins."""

    base: str
    name: str
    instructions: Sequence[Instruction]

    def last(self, name: str) -> Instruction | None:
        """Return the last instruction of this name: it is the one that counts."""
        return next((one for one in reversed(self.instructions) if one.name == name), None)


def parse(text: str) -> list[Stage]:
    """Return the stages of a Dockerfile, in order."""
    stages: list[Stage] = []
    body: list[Instruction] = []
    for one in _instructions(text):
        if one.name == "FROM":
            base, _, name = one.text.partition(" AS ")
            body = []
            stages.append(Stage(base.strip(), name.strip() or str(len(stages)), body))
        else:
            body.append(one)
    return stages


def _instructions(text: str) -> Iterator[Instruction]:
    pending, begin = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not (line.strip() or pending):
            continue
        begin = begin or number
        pending += line.rstrip()
        if pending.endswith("\\"):
            pending = pending[:-1] + " "
            continue
        name, _, rest = pending.strip().partition(" ")
        yield Instruction(name.upper(), rest.strip(), begin)
        pending, begin = "", 0


def findings(text: str) -> list[str]:
    """Return what a Dockerfile breaks of our rules, which a general linter does not know."""
    stages = parse(text)
    last = stages[-1]
    return [
        *(f"{one.base} is not pinned to a version" for one in stages if not _is_pinned(one, stages)),
        *(
            f"line {one.line}: ADD fetches and unpacks; use COPY"
            for s in stages
            for one in s.instructions
            if one.name == "ADD"
        ),
        *_last_stage(last),
    ]


def _is_pinned(stage: Stage, stages: Iterable[Stage]) -> bool:
    if stage.base in {one.name for one in stages}:
        return True
    _, _, tag = stage.base.rpartition("/")[2].partition(":")
    return "@sha256:" in stage.base or tag not in ("", "latest")


def _last_stage(stage: Stage) -> Iterator[str]:
    user = stage.last("USER")
    if user is None or not re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", user.text):
        yield "the last stage needs USER with the numbers of a user and a group that are not root"
    for one in stage.instructions:
        if one.name == "RUN" and (tool := BUILD_TOOLS.search(one.text)):
            yield f"line {one.line}: {tool[0]} has no place in the last stage"
        if one.name in ("ENV", "ARG") and SECRET.search(one.text):
            yield f"line {one.line}: a secret in {one.name} is in the image for everybody"
    yield from (f"the last stage has no {name}" for name in DEMANDED if stage.last(name) is None)
    if (entry := stage.last("ENTRYPOINT")) is not None and entry.words != ["monohull"]:
        yield f"ENTRYPOINT is not monohull, so that the commands {', '.join(COMMANDS)} are no arguments"
    exposed = stage.last("EXPOSE")
    if exposed is None or exposed.words != ["8000"]:
        yield "EXPOSE is not the one port of the contract, 8000"
    texts = " ".join(one.text for one in stage.instructions if one.name == "LABEL")
    yield from (f"there is no label {label}" for label in LABELS if f"{label}=" not in texts)


def is_sent(path: PurePath, ignore: str) -> bool:
    """Say whether a path of the context reaches the builder, given the text of ``.dockerignore``."""
    sent = True
    for line in ignore.splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        if _matches(path, pattern.removeprefix("!")):
            sent = pattern.startswith("!")
    return sent


def _matches(path: PurePath, pattern: str) -> bool:
    """Say whether the path, or a folder that it is in, is meant."""
    parts = path.parts
    if pattern.startswith("**/"):
        return any(fnmatch(part, pattern.removeprefix("**/")) for part in parts)
    wanted = pattern.strip("/").split("/")
    return len(parts) >= len(wanted) and all(
        fnmatch(part, want) for part, want in zip(parts, wanted, strict=False)
    )
