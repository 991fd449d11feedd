"""The home: the folder with everything of one installation that is no configuration.

    home.json     marks the folder as ours; who made it, versions, the example in it
    secrets/      one file a secret, mode 0600, generated when first asked for
    run/          locks, state.json (what runs now)
    log/          what the embedded servers say
    postgres/ redis/    their data, unless ``relocated`` names another place

Several processes use a home at once: files appear complete or not at all, and
`Home.lock` lets one supervisor in.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Mapping  # noqa: TC003 (msgspec reads it)
from datetime import datetime  # noqa: TC003 (msgspec reads it)
from typing import IO, TYPE_CHECKING, Final, Self, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec
from msgspec import Struct

from monohull import __version__
from monohull.kernel.clock import now
from monohull.kernel.crypto import derive_password
from monohull.kernel.embedded.account import RELOCATED, discard
from monohull.kernel.embedded.ports import LOOPBACK
from monohull.kernel.embedded.postgres import DATABASE, LOGIN
from monohull.kernel.embedded.process import identity, is_same
from monohull.kernel.refusals import NotReachable, Refused, WrongSetup, writing
from monohull.kernel.settings import Secret

if TYPE_CHECKING:
    from pathlib import Path

    from monohull.kernel.settings import Settings

MARKER: Final = "home.json"
OWN_NAMES: Final = frozenset(
    {
        MARKER,
        ".gitignore",
        "secrets",
        "run",
        "log",
        "bin",
        "sockets",
        "storage",
        "postgres",
        "redis",
        RELOCATED,
    }
)
SECRET_BYTES: Final = 32
NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})

S = TypeVar("S", bound=Struct)


class HomeError(WrongSetup):
    """The home cannot be used as it is."""


class HomeInUse(Refused):
    """Another supervisor runs on this home."""

    exit_code = 1


class NothingRuns(NotReachable):
    """An embedded service is needed and none runs for this home."""


class ProcessState(Struct, frozen=True):
    """A process that was started for this home; see `identity`."""

    pid: int
    identity: str

    @classmethod
    def of(cls, pid: int) -> ProcessState:
        return cls(pid, identity(pid) or "")

    @property
    def is_alive(self) -> bool:
        return is_same(self.pid, self.identity)


class ServiceState(Struct, frozen=True):
    """An embedded server that runs."""

    port: int
    process: ProcessState
    version: str


class State(Struct, frozen=True, kw_only=True):
    """What runs for a home. Passwords are not in it."""

    since: datetime
    supervisor: ProcessState
    version: str
    project: str
    example: str | None = None
    url: str | None = None
    postgres: ServiceState | None = None
    redis: ServiceState | None = None
    api: ProcessState | None = None
    worker: ProcessState | None = None


class Marker(Struct, frozen=True, kw_only=True):
    """Contents of ``home.json``.

    Attributes:
        created_at: When the home was made.
        created_by: The version that made it.
        example: Name of the example in it, if there is one.
        versions: Of what runs in it, by name.
        migrated_by: The version whose migrations are applied to its own database.
        migrated: Fingerprint of all that was applied, see `monohull.kernel.supervisor.migrated`.
    """

    created_at: datetime
    created_by: str
    example: str | None = None
    versions: Mapping[str, str] = {}
    migrated_by: str | None = None
    migrated: str | None = None


class Home:
    """One home, whether it exists already or not."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def __repr__(self) -> str:
        return f"Home({str(self.path)!r})"

    # --- the folder --------------------------------------------------------------------------

    def create(self) -> Marker:
        """Make the folder and mark it as ours; return the mark.

        Raises:
            WrongSetup: It cannot be written, or holds files of somebody else.
            NotReachable: The device is full.
        """
        with writing(self.path):
            if (marker := self.marker()) is not None:
                return marker
            if not self.path.exists():
                self.path.mkdir(parents=True, exist_ok=True)
                # as root the servers run as somebody else and have to pass
                self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
            names = {entry.name for entry in self.path.iterdir()} - OWN_NAMES
            # another process may be marking it at this moment
            if strangers := sorted(name for name in names if not name.startswith(f".{MARKER}.")):
                raise HomeError(
                    f"{self.path} holds {strangers[0]!r} and is no Monohull home; "
                    "set MONOHULL_HOME to a folder that is empty or does not exist"
                )
            (self.path / ".gitignore").write_text("*\n", encoding="utf-8")
            new = Marker(created_at=now(), created_by=__version__)
            publish_once(self.path / MARKER, msgspec.json.encode(new))
            return self.marker() or new

    def marker(self) -> Marker | None:
        """Return the mark, or None when this is no home (yet)."""
        return self._read(self.path / MARKER, Marker)

    def update_marker(self, marker: Marker) -> None:
        """Replace the mark."""
        with writing(self.path):
            write_atomically(self.path / MARKER, msgspec.json.encode(marker))

    def wipe(self) -> None:
        """Delete everything in the home, relocated data as well. Hold the `lock` and let nothing run.

        Raises:
            HomeError: The folder carries no mark of ours.
        """
        if self.marker() is None:
            if not self.path.exists() or not any(self.path.iterdir()):
                return
            raise HomeError(
                f"{self.path} carries no {MARKER} and is not deleted; it does not look like a home"
            )
        with writing(self.path):
            discard(self.path, last=("secrets", MARKER))

    def _read(self, path: Path, shape: type[S]) -> S | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=shape)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise HomeError(f"cannot read {path}: {error}; start as the user that made this home") from error

    # --- secrets -----------------------------------------------------------------------------

    def secret(self, name: str, *, generate: bool = True) -> Secret:
        """Return the secret ``name``, 43 characters when it was generated here.

        Processes that ask at the same time for a new one get the same one.

        Raises:
            HomeError: It does not exist and ``generate`` is false, or it cannot be read.
        """
        path = self.path / "secrets" / name
        try:
            found = path.read_text(encoding="utf-8").strip()
        except (FileNotFoundError, NotADirectoryError):
            if not generate:
                raise HomeError(
                    f"there is no secret {name} in {self.path}; `monohull up` generates it"
                ) from None
            found = self._new_secret(path)
        except OSError as error:
            raise HomeError(
                f"cannot read {path}: {error.strerror}; start as the user that made this home"
            ) from error
        if not found:
            raise HomeError(
                f"{path} is empty; write the secret into it, or delete it so that a new one is made"
            )
        return Secret(found)

    def _new_secret(self, path: Path) -> str:
        self.create()
        with writing(self.path):
            path.parent.mkdir(mode=0o700, exist_ok=True)
            publish_once(path, secrets.token_urlsafe(SECRET_BYTES).encode())
            return path.read_text(encoding="utf-8").strip()

    # --- what runs ---------------------------------------------------------------------------

    @property
    def run(self) -> Path:
        return self.path / "run"

    def read_state(self) -> State | None:
        """Return what was last written; its supervisor may be dead by now."""
        return self._read(self.run / "state.json", State)

    def living_state(self) -> State | None:
        """Return the state of a supervisor that lives, else None."""
        state = self.read_state()
        return state if state is not None and state.supervisor.is_alive else None

    def write_state(self, state: State) -> None:
        """Say what runs now."""
        with writing(self.path):
            self.run.mkdir(mode=0o711, exist_ok=True)
            write_atomically(self.run / "state.json", msgspec.json.encode(state))

    def clear_state(self) -> None:
        """Say that nothing runs any more."""
        (self.run / "state.json").unlink(missing_ok=True)

    def lock(self) -> HomeLock:
        """Take the home for this process until the lock is closed, or the process ends in any way.

        Raises:
            HomeInUse: Another one has it; the message says who.
        """
        self.create()
        with writing(self.path):
            self.run.mkdir(mode=0o711, exist_ok=True)
            path = self.run / "lock"
            stream = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = stream.read().strip()
                stream.close()
                raise HomeInUse(self._who_runs(holder)) from None
            stream.truncate(0)
            stream.write(f"{os.getpid()}\n")
            stream.flush()
            return HomeLock(stream)

    def _who_runs(self, holder: str) -> str:
        state = self.living_state()
        if state is None:
            return f"monohull is just starting for {self.path} (process {holder or 'unknown'})"
        since = state.since.strftime("%Y-%m-%d %H:%M:%S UTC")
        where = f" at {state.url}" if state.url else ""
        return (
            f"monohull already runs for {self.path}{where}: process {state.supervisor.pid}, since {since}; "
            "stop it first, or use another --home"
        )


class HomeLock:
    """Held while its process lives; `close` gives it back."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Connections(Struct, frozen=True):
    """Where a process finds its services.

    Attributes:
        owner_url: PostgreSQL as the owner of the platform schema.
        data_url: The same server as ``authenticator``, for data requests.
        redis_url: Redis.
    """

    owner_url: Secret
    data_url: Secret
    redis_url: Secret


def connections(settings: Settings, home: Home | None = None) -> Connections:
    """Return configured addresses, and those of the running embedded servers for the rest.

    Raises:
        NothingRuns: An embedded server is needed and the home has none running.
    """
    home = home or Home(settings.home)
    owner = owner_url(settings, home)
    if settings.core.database_url is None:
        owner = Secret(by_socket(owner, home.path / "sockets"))
    data = settings.core.database_authenticator_url
    if data is None:
        password = derive_password(jwt_secret(settings, home), "authenticator")
        data = Secret(with_login(owner, "authenticator", password))
    return Connections(owner, data, redis_url(settings, home))


def jwt_secret(settings: Settings, home: Home | None = None) -> Secret:
    """Return ``MONOHULL_JWT_SECRET``, or the one generated in the home."""
    return settings.jwt.shared_secret or (home or Home(settings.home)).secret("jwt_secret")


def owner_url(settings: Settings, home: Home) -> Secret:
    """Return the owner's address: ``MONOHULL_DATABASE_URL``, or the embedded server's.

    Raises:
        NothingRuns: Neither exists.
    """
    if settings.core.database_url is not None:
        return settings.core.database_url
    state = home.read_state()
    service = _running(state.postgres if state else None, home, "PostgreSQL", "MONOHULL_DATABASE_URL")
    password = quote(home.secret("postgres_password", generate=False), safe="")
    return Secret(f"postgresql://{LOGIN}:{password}@{LOOPBACK}:{service.port}/{DATABASE}")


def by_socket(url: str, folder: Path) -> str:
    """Return ``url`` by way of the server's socket in ``folder`` where this process may use it.

    A message costs both sides less than over TCP.
    """
    parts = urlsplit(url)
    if not os.access(folder / f".s.PGSQL.{parts.port}", os.R_OK | os.W_OK):
        return url
    login = parts.netloc.rpartition("@")[0]
    query = f"host={quote(str(folder), safe='/')}&port={parts.port}"
    return urlunsplit((parts.scheme, f"{login}@", parts.path, query, ""))


def redis_url(settings: Settings, home: Home) -> Secret:
    """Return ``MONOHULL_REDIS_URL``, or the address of the embedded server.

    Raises:
        NothingRuns: Neither exists.
    """
    if settings.core.redis_url is not None:
        return settings.core.redis_url
    state = home.read_state()
    service = _running(state.redis if state else None, home, "Redis", "MONOHULL_REDIS_URL")
    password = quote(home.secret("redis_password", generate=False), safe="")
    return Secret(f"redis://:{password}@{LOOPBACK}:{service.port}/0")


def _running(service: ServiceState | None, home: Home, name: str, variable: str) -> ServiceState:
    # A server that crashed is being restarted on its port: whoever runs it still being there is what counts.
    if service is not None and home.living_state() is not None:
        return service
    raise NothingRuns(f"no {name} runs for {home.path}: start `monohull up`, or set {variable}")


def with_login(url: str, user: str, password: str) -> str:
    """Return ``url`` with another login; hosts, database and options stay.

    >>> with_login("postgresql://me:x@a:1,b:2/db?sslmode=require", "you", "p/w")
    'postgresql://you:p%2Fw@a:1,b:2/db?sslmode=require'
    """
    parts = urlsplit(url)
    netloc = f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc.rpartition('@')[2]}"
    options = [part for part in parts.query.split("&") if part.partition("=")[0] not in ("user", "password")]
    return urlunsplit((parts.scheme, netloc, parts.path, "&".join(options), ""))


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` so that a reader sees the old content or the new, mode 0600."""
    draft = _draft(path, content)
    try:
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def publish_once(path: Path, content: bytes) -> None:
    """Create ``path`` with ``content`` unless it exists; the first of several writers wins."""
    draft = _draft(path, content)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        with contextlib.suppress(FileExistsError), path.open("xb") as stream:
            path.chmod(0o600)
            stream.write(content)
    finally:
        draft.unlink(missing_ok=True)


def _draft(path: Path, content: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    return draft
