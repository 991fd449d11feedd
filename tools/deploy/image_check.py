"""Check the image where no container engine is at hand: lint, and the build steps in a clean root.

    python -m tools.deploy.image_check [--lint-only]

``mmdebstrap`` makes the Debian that the Dockerfile begins from, and each stage
is a copy of it in which RUN and COPY are carried out, in namespaces of their
own. The result is then tried as a container would run it: as its user, with a
root file system that cannot be written. That needs Linux, root and
``mmdebstrap``; without them the lint alone is done, and it is said so.

Leaves with 1 when something does not hold. The roots are in ``build/image``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.deploy import dockerfile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.deploy.dockerfile import Instruction, Stage

ROOT: Final = Path(__file__).parents[2]
DOCKERFILE: Final = ROOT / "deploy" / "docker" / "Dockerfile"
HADOLINT: Final = ROOT / ".venv-deploy" / "bin" / "hadolint"
BUILD: Final = ROOT / "build" / "image"
SUITES: Final = {"12": "bookworm", "13": "trixie"}
HOST_CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
PASSED_ON: Final = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT")
STEP_SECONDS: Final = 1200

# what a container has, and no more: devices, processes of its own, and the host's idea of the network
MOUNTED: Final = """\
set -e
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
test ! -e /etc/resolv.conf || { cat /etc/resolv.conf > "$root/run/resolv.conf"; \
    touch "$root/etc/resolv.conf"; mount --bind "$root/run/resolv.conf" "$root/etc/resolv.conf"; }
test ! -e "$HOST_CERTIFICATES" || cat "$HOST_CERTIFICATES" > "$root/run/host.crt"
test -z "$READ_ONLY" || { mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"; mount -o remount,bind,ro "$root"; }
exec "$@"
"""


class StepFailed(Exception):
    """A step of the build left with another code than 0."""


def main(arguments: Sequence[str]) -> int:
    """Check what can be checked here, and say what that was."""
    problems = lint()
    for problem in problems:
        print(problem)
    if problems:
        return 1
    print("The Dockerfile was linted, and nothing was found.")
    if "--lint-only" in arguments:
        return 0
    if (missing := what_is_missing()) is not None:
        print(f"Its build steps were not run: {missing}.")
        return 0
    try:
        roots = build(dockerfile.parse(DOCKERFILE.read_text(encoding="utf-8")))
        lines = try_out(roots)
    except StepFailed as failed:
        print(failed)
        return 1
    print(
        "No image was built. Its build steps were run in a clean root instead, and what came of them tried:"
    )
    for line in lines:
        print(f"  {line}")
    return 0


def lint() -> list[str]:
    """Return what hadolint and our own rules find."""
    found = dockerfile.findings(DOCKERFILE.read_text(encoding="utf-8"))
    if HADOLINT.exists():
        command = [str(HADOLINT), "--no-color", str(DOCKERFILE)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 ours
        found += ran.stdout.splitlines()
    else:
        print("hadolint is not installed (make install-deploy), so our own rules alone are checked.")
    return found


def what_is_missing() -> str | None:
    """Say why the build steps cannot be run here, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "that takes root on Linux"
    if shutil.which("mmdebstrap") is None:
        return "mmdebstrap is not installed (on Debian: apt-get install mmdebstrap)"
    command = ["unshare", "--mount", "--pid", "--fork", "true"]
    probe = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 a constant
    return None if probe.returncode == 0 else "this machine allows no namespaces"


def build(stages: Sequence[Stage]) -> Path:
    """Carry out every stage; return the root of the last one."""
    roots: dict[str, Path] = {}
    root = BUILD
    for stage in stages:
        root = BUILD / f"stage-{stage.name}"
        shutil.rmtree(root, ignore_errors=True)
        run(["cp", "--archive", base(stage.base), root])
        roots[stage.name] = root
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        folder = "/"
        for one in stage.instructions:
            if one.name == "WORKDIR":
                folder = one.text
                (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
            elif one.name == "ENV":
                environment |= dict(word.split("=", 1) for word in one.words)
            elif one.name == "COPY":
                copy(one, root, folder, roots)
            elif one.name == "RUN":
                print(f"  {stage.name}, line {one.line}: {one.text[:70]}…", flush=True)
                inside(root, f"cd {folder} && {one.text}", environment)
    return root


def base(image: str) -> Path:
    """Return a minimal Debian, made once."""
    suite = SUITES[image.removeprefix("debian:").partition("-")[0]]
    root = BUILD / suite
    if not (root / "etc" / "debian_version").exists():
        shutil.rmtree(root, ignore_errors=True)
        root.parent.mkdir(parents=True, exist_ok=True)
        print(f"  making a minimal {suite}…", flush=True)
        run(["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", suite, root])
    return root


def copy(one: Instruction, root: Path, folder: str, roots: dict[str, Path]) -> None:
    """Carry out COPY as a builder does: of a folder the contents are copied, and ignored files never."""
    options = {word.split("=")[0]: word.split("=")[1] for word in one.words if word.startswith("--")}
    *sources, target = [word for word in one.words if not word.startswith("--")]
    start = roots[options["--from"]] if "--from" in options else ROOT
    ignore = "" if "--from" in options else (ROOT / ".dockerignore").read_text(encoding="utf-8")
    into = root / (Path(folder) / target).as_posix().lstrip("/")
    many = len(sources) > 1 or target.endswith("/")
    for source in sources:
        found = start / source.lstrip("/")
        is_sent = found.is_dir() or dockerfile.is_sent(found.relative_to(start), ignore)
        if not found.exists() or not is_sent:
            raise StepFailed(f"line {one.line}: {source} does not reach the builder; see .dockerignore")
        to = into / found.name if many and found.is_file() else into
        to.parent.mkdir(parents=True, exist_ok=True)
        if found.is_file():
            shutil.copy2(found, to)
            to.chmod(int(options.get("--chmod", f"{found.stat().st_mode & 0o777:o}"), 8))
            continue

        def ignored(place: str, names: list[str]) -> list[str]:
            return [
                name
                for name in names
                if not dockerfile.is_sent((Path(place) / name).relative_to(start), ignore)
            ]

        shutil.copytree(found, to, symlinks=True, dirs_exist_ok=True, ignore=ignored if ignore else None)


def inside(
    root: Path, command: str, environment: dict[str, str], *, user: str = "0:0", read_only: bool = False
) -> str:
    """Run a shell command in ``root`` and return what it printed.

    Raises:
        StepFailed: It left with another code than 0.
    """
    passed = {
        name: value for name, value in os.environ.items() if name.lower() in PASSED_ON or name in PASSED_ON
    }
    certificates = "/run/host.crt" if HOST_CERTIFICATES.exists() else ""
    if certificates:
        passed |= {"PIP_CERT": certificates, "SSL_CERT_FILE": certificates}
    script = ["unshare", "--mount", "--pid", "--fork", "sh", "-c", MOUNTED, "sh", str(root)]
    # found here and now: the search path inside is the image's
    enter = [
        shutil.which("chroot") or "/usr/sbin/chroot",
        f"--userspec={user}",
        str(root),
        "/bin/sh",
        "-ec",
        command,
    ]
    host = {"READ_ONLY": "yes" if read_only else "", "HOST_CERTIFICATES": str(HOST_CERTIFICATES)}
    own = [f"{name}={value}" for name, value in {**passed, **environment}.items()]
    return run([*script, "env", "--ignore-environment", *own, *enter], {**os.environ, **host})


def run(command: Sequence[str | Path], environment: dict[str, str] | None = None) -> str:
    """Run a command and return what it printed.

    Raises:
        StepFailed: It left with another code than 0.
    """
    ran = subprocess.run(  # noqa: S603 the Dockerfile's steps, which is what this is for
        command, env=environment, capture_output=True, text=True, timeout=STEP_SECONDS, check=False
    )
    if ran.returncode:
        shown = "\n".join((ran.stdout + ran.stderr).splitlines()[-15:])
        raise StepFailed(f"{' '.join(map(str, command[-1:]))}\nleft with {ran.returncode}:\n{shown}")
    return ran.stdout


def try_out(root: Path) -> list[str]:
    """Try the last stage as a container would run it; return what was seen, a line each."""
    last = dockerfile.parse(DOCKERFILE.read_text(encoding="utf-8"))[-1]
    environment: dict[str, str] = {}
    for one in last.instructions:
        if one.name == "ENV":
            environment |= dict(word.split("=", 1) for word in one.words)
    user = last.last("USER")
    assert user is not None

    def tried(command: str, **more: str) -> str:
        return inside(
            root, f"cd /project && {command}", {**environment, **more}, user=user.text, read_only=True
        )

    configured = {
        "MONOHULL_DATABASE_URL": "postgresql://owner:0f1e2d3c4b5a69788796@database:5432/app?sslmode=verify-full",
        "MONOHULL_REDIS_URL": "redis://:0f1e2d3c4b5a69788796@redis:6379/0",
        "MONOHULL_JWT_SECRET": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH",
        "MONOHULL_PUBLIC_URL": "https://api.example.com",
    }
    seen = [
        f"as {tried('id -u').strip()}, on a root file system that cannot be written:",
        tried("monohull version").splitlines()[0],
        tried("monohull config check", **configured).strip(),
    ]
    tried("python3 -c 'import monohull.asgi, monohull.worker, monohull.cli.migrate'", **configured)
    tried("python3 -c 'from monohull.kernel.database.revisions import locate; locate()'")
    seen.append("API, worker and migrations can be loaded, and the platform's revisions are there")
    if found := tried("for tool in gcc cc make pip pip3 git; do command -v $tool || true; done").strip():
        raise StepFailed(f"build tools are in the last stage: {found}")
    seen.append("no compiler and no package installer is in it")
    try:
        tried("touch /project/file")
    except StepFailed:
        pass
    else:
        raise StepFailed("the root file system could be written, so that this check proves nothing")
    mebibytes = int(run(["du", "--summarize", "--block-size=1M", root]).split()[0])
    seen.append(f"{mebibytes} MiB, not compressed")
    return seen


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
