"""The home: secrets that all processes agree on, one supervisor, addresses, and clear refusals."""

from __future__ import annotations

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from monohull.kernel.clock import now
from monohull.kernel.database.urls import parse_url
from monohull.kernel.home import (
    Home,
    HomeError,
    HomeInUse,
    NothingRuns,
    ProcessState,
    ServiceState,
    State,
    connections,
    publish_once,
    with_login,
    write_atomically,
)
from monohull.kernel.refusals import NotReachable, WrongSetup, writing
from monohull.kernel.settings import load_core

if TYPE_CHECKING:
    from monohull.kernel.settings import Settings

SECRET = "x" * 20 + "0123456789abcdefghij"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def a_state(**changes: object) -> State:
    state = State(
        since=now(),
        supervisor=ProcessState.of(os.getpid()),
        version="1",
        project="/p",
        url="http://127.0.0.1:8000",
        postgres=ServiceState(20001, ProcessState.of(os.getpid()), "18.6"),
        redis=ServiceState(20002, ProcessState.of(os.getpid()), "9.1.2"),
    )
    return msgspec.structs.replace(state, **changes)


def settings(home: Path, **environ: str) -> Settings:
    return load_core(environ={"MONOHULL_HOME": str(home), **environ}, project=home.parent)


def test_a_secret_is_generated_once_and_closed_to_others(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    secret = home.secret("jwt_secret")
    assert len(secret) == 43
    assert Home(tmp_path / "home").secret("jwt_secret") == secret
    assert mode(home.path / "secrets" / "jwt_secret") == 0o600
    assert mode(home.path / "secrets") == 0o700
    assert secret not in repr(secret)


def test_everybody_who_asks_at_once_gets_the_same_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: Home(tmp_path / "home").secret("jwt_secret"), range(64)))
    assert len(set(found)) == 1
    assert [path.name for path in (tmp_path / "home" / "secrets").iterdir()] == ["jwt_secret"]


def test_a_missing_secret_is_named_when_none_may_be_made(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="no secret postgres_password"):
        Home(tmp_path).secret("postgres_password", generate=False)


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.secret("jwt_secret")
    (home.path / "secrets" / "jwt_secret").write_text("\n")
    with pytest.raises(HomeError, match="is empty"):
        home.secret("jwt_secret")


def test_a_secret_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "jwt_secret").mkdir()
    with pytest.raises(HomeError, match="cannot read"):
        Home(tmp_path).secret("jwt_secret")


def test_publish_once_keeps_the_first_also_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        del self, target
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    publish_once(tmp_path / "a", b"1")
    publish_once(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"1"
    assert mode(tmp_path / "a") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failed_link_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        del self, target
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with pytest.raises(OSError, match="broken"):
        publish_once(tmp_path / "a", b"1")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_the_old_content(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"old")
    with pytest.raises(TypeError):
        write_atomically(tmp_path / "a", "not bytes")  # type: ignore[arg-type]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_full_device_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(descriptor))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotReachable, match="No space left on device"):
        Home(tmp_path / "home").create()
    assert [path.name for path in (tmp_path / "home").iterdir()] == [".gitignore"]


def test_the_home_is_marked_and_hidden_from_git(tmp_path: Path) -> None:
    home = Home(tmp_path / "deep" / "home")
    assert home.marker() is None
    marker = home.create()
    assert home.create() == marker
    assert (home.path / ".gitignore").read_text() == "*\n"
    assert mode(home.path) == (0o711 if os.geteuid() == 0 else 0o700)
    assert str(home.path) in repr(home)


def test_a_folder_of_somebody_else_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(HomeError, match=r"holds 'thesis\.tex'"):
        Home(tmp_path).create()
    with pytest.raises(HomeError, match="is not deleted"):
        Home(tmp_path).wipe()
    assert (tmp_path / "thesis.tex").exists()


def test_a_file_in_the_way_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WrongSetup, match="cannot write to"):
        Home(tmp_path / "file" / "home").create()


def test_wipe_deletes_all_of_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.secret("jwt_secret")
    (home.path / "postgres").mkdir()
    (home.path / "postgres" / "PG_VERSION").write_text("18")
    home.wipe()
    assert not home.path.exists()
    home.wipe()


def test_a_broken_mark_is_named(tmp_path: Path) -> None:
    (tmp_path / "home.json").write_text("{")
    with pytest.raises(HomeError, match=r"home\.json"):
        Home(tmp_path).marker()


def test_the_second_supervisor_hears_who_runs(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with home.lock():
        with pytest.raises(HomeInUse, match=rf"just starting .*process {os.getpid()}"):
            home.lock()
        home.write_state(a_state())
        with pytest.raises(HomeInUse) as refused:
            Home(home.path).lock()
    text = str(refused.value)
    assert "http://127.0.0.1:8000" in text
    assert f"process {os.getpid()}" in text
    assert "since 20" in text
    assert refused.value.exit_code == 1
    home.lock().close()


def test_state_comes_back_as_written_and_goes(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    state = a_state()
    home.write_state(state)
    assert home.read_state() == state
    assert home.living_state() == state
    home.clear_state()
    assert home.read_state() is None


def test_a_dead_supervisor_runs_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    home.write_state(a_state(supervisor=ProcessState(os.getpid(), "another boot:1")))
    assert home.read_state() is not None
    assert home.living_state() is None


def test_connections_to_the_running_embedded_servers(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    password = home.secret("postgres_password")
    redis_password = home.secret("redis_password")
    home.write_state(a_state())
    found = connections(settings(home.path, MONOHULL_JWT_SECRET=SECRET))
    assert found.owner_url == f"postgresql://monohull:{password}@127.0.0.1:20001/monohull"
    assert found.redis_url == f"redis://:{redis_password}@127.0.0.1:20002/0"
    assert found.data_url.startswith("postgresql://authenticator:")
    assert found.data_url.endswith("@127.0.0.1:20001/monohull")
    assert connections(settings(home.path, MONOHULL_JWT_SECRET=SECRET)) == found


def test_the_embedded_database_is_reached_by_its_socket(tmp_path: Path) -> None:
    home = Home(tmp_path / "a + home")
    home.secret("postgres_password")
    home.secret("redis_password")
    home.write_state(a_state())
    (home.path / "sockets").mkdir()
    (home.path / "sockets" / ".s.PGSQL.20001").touch()
    found = connections(settings(home.path, MONOHULL_JWT_SECRET=SECRET))
    for text, login in ((found.owner_url, "monohull"), (found.data_url, "authenticator")):
        url = parse_url(text)
        assert (url.user, url.database) == (login, "monohull")
        assert url.hosts == ((str(home.path / "sockets"), 20001),)
        assert url.password


def test_configured_addresses_need_no_home(tmp_path: Path) -> None:
    core = settings(
        tmp_path / "none",
        MONOHULL_DATABASE_URL="postgresql://me:pw@db:5433/app?sslmode=require",
        MONOHULL_REDIS_URL="redis://cache/3",
        MONOHULL_JWT_SECRET=SECRET,
    )
    found = connections(core)
    assert found.owner_url == "postgresql://me:pw@db:5433/app?sslmode=require"
    assert found.data_url.endswith("@db:5433/app?sslmode=require")
    assert found.redis_url == "redis://cache/3"
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({}, "no PostgreSQL runs"),
        ({"MONOHULL_DATABASE_URL": "postgresql://me@db/app"}, "no Redis runs"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, environ: dict[str, str], missing: str) -> None:
    with pytest.raises(NothingRuns, match=missing) as refused:
        connections(settings(tmp_path / "home", MONOHULL_JWT_SECRET=SECRET, **environ))
    assert refused.value.exit_code == 3


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://a:b@h:1/d", "postgresql://u:p%40@h:1/d"),
        ("postgresql://h/d", "postgresql://u:p%40@h/d"),
        ("postgresql://a@h1:1,h2:2/d?sslmode=require", "postgresql://u:p%40@h1:1,h2:2/d?sslmode=require"),
        ("postgresql://a@[::1]:1/d", "postgresql://u:p%40@[::1]:1/d"),
        ("postgresql:///d?host=%2Frun&user=a&password=b", "postgresql://u:p%40@/d?host=%2Frun"),
    ],
)
def test_another_login_keeps_the_rest(url: str, expected: str) -> None:
    assert with_login(url, "u", "p@") == expected


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, 3), (errno.EDQUOT, 3), (errno.EROFS, 2), (errno.EACCES, 2), (errno.EIO, 2)],
)
def test_what_the_file_system_answers_has_an_exit_code(tmp_path: Path, number: int, code: int) -> None:
    with pytest.raises((WrongSetup, NotReachable)) as refused, writing(tmp_path):
        raise OSError(number, os.strerror(number))
    assert refused.value.exit_code == code
    assert str(tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)
