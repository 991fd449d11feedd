"""Where an unprivileged account gets, and where its files go when it does not."""

from __future__ import annotations

import os
import pwd
import signal
import stat
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from monohull.kernel.embedded import account, ports, process
from monohull.kernel.embedded.account import Account, may_pass, service_account, service_folder
from monohull.kernel.refusals import WrongSetup

SOMEBODY = Account("somebody", uid=60001, gid=60001)


def folder(mode: int, uid: int = 0, gid: int = 0) -> os.stat_result:
    return os.stat_result((stat.S_IFDIR | mode, 0, 0, 0, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "passes"),
    [
        (0o755, 0, 0, True),
        (0o700, 0, 0, False),
        (0o700, 60001, 0, True),
        (0o677, 60001, 0, False),
        (0o710, 0, 60001, True),
        (0o701, 0, 60001, False),
        (0o711, 0, 0, True),
    ],
)
def test_the_search_bit_of_ones_own_class_counts(mode: int, uid: int, gid: int, passes: bool) -> None:
    assert may_pass(folder(mode, uid, gid), SOMEBODY) is passes


def test_root_drops_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = service_account()
    assert found is not None
    assert found.uid == pwd.getpwnam(found.name).pw_uid
    assert account.spawn_identity(found) == {"user": found.uid, "group": found.gid, "extra_groups": []}


def test_an_ordinary_user_runs_servers_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("daemon").pw_uid)
    assert service_account() is None
    assert account.spawn_identity(None) == {}
    assert account.is_reachable(Path("/nowhere"), None)


def test_a_user_without_a_name_hears_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(WrongSetup, match="54321 has no entry"):
        service_account()


def test_root_without_anybody_to_be_hears_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(account, "CANDIDATES", ())
    with pytest.raises(WrongSetup, match="does not run as root"):
        service_account()


def test_a_closed_folder_is_replaced_and_the_replacement_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    monkeypatch.setattr(account, "DURABLE_ROOT", tmp_path / "var")
    state = tmp_path / "closed" / "home"
    found = service_folder(state, SOMEBODY, durable=True)
    assert found.parent == tmp_path / "var"
    assert stat.S_IMODE(found.stat().st_mode) == 0o711
    assert service_folder(state, SOMEBODY, durable=True) == found
    (tmp_path / "moved").mkdir()
    state.rename(tmp_path / "moved" / "home")
    assert service_folder(tmp_path / "moved" / "home", SOMEBODY, durable=True) == found
    account.discard(tmp_path / "moved" / "home")
    assert not found.exists()


def test_a_recorded_folder_that_is_gone_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "relocated").write_text(f"{tmp_path / 'gone'}\n")
    with pytest.raises(WrongSetup, match="bring the folder back"):
        service_folder(tmp_path, SOMEBODY, durable=True)
    with pytest.raises(WrongSetup):
        account.discard(tmp_path)


def test_without_an_account_everything_stays_in_place(tmp_path: Path) -> None:
    assert service_folder(tmp_path / "home", None, durable=True) == tmp_path / "home"


def test_discard_keeps_the_named_for_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("zebra", "aardvark", "mark"):
        (tmp_path / name).touch()
    order: list[str] = []
    unlink = Path.unlink

    def noted(path: Path) -> None:
        order.append(path.name)
        unlink(path)

    monkeypatch.setattr(Path, "unlink", noted)
    account.discard(tmp_path, last=("aardvark", "mark"))
    assert order == ["zebra", "aardvark", "mark"]


def test_a_process_is_told_from_later_ones_with_its_number() -> None:
    known = process.identity(os.getpid())
    assert process.is_same(os.getpid(), known)
    assert not process.is_same(os.getpid(), "another")
    assert not process.is_same(os.getpid(), None)
    assert process.identity(2**22 + 1) is None


def test_other_systems_ask_ps(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"1": "S    Mon Nov 23 03:00:00 2026\n", "2": "Z    Mon Nov 23 03:00:00 2026\n", "3": ""}
    monkeypatch.setattr(process, "ON_LINUX", False)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: SimpleNamespace(stdout=answers[command[-1]]))
    assert process.identity(1) == "Mon Nov 23 03:00:00 2026"
    assert process.identity(2) is None
    assert process.identity(3) is None
    assert process.die_with_parent(signal.SIGTERM) is None
    assert list(process.programs_in(Path("/"), "postgres")) == []


def test_no_port_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _: False)
    with pytest.raises(WrongSetup, match="no free port"):
        ports.free_port()
