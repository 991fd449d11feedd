"""What ``monohull doctor`` looks at: whether marked tables are cached, and what shares answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.rest.cache.keepers import KeeperAway, KeeperBusy
from modules.rest.cache.marking import CachedTables
from modules.rest.cache.opening import open_keepers
from modules.rest.settings import RestSettings
from monohull.kernel.diagnosis import Diagnosis
from monohull.kernel.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.rest.cache.marking import CachedTableView
    from monohull.kernel.runtime import Runtime

NAME: Final = "response cache"


async def look(runtime: Runtime) -> Diagnosis:
    """Say whether the tables that are marked are cached for anybody, and the store of answers is there."""
    tables = await CachedTables(runtime.database).list()
    try:
        servers, away = await _ask_servers(runtime)
    except SettingsError as error:
        return Diagnosis(NAME, "wrong", str(error))
    if away:
        return Diagnosis(
            NAME, "wrong", f"{away[0]}; until it is back every process keeps its own answers alone"
        )
    if found := _idle(tables):
        return found
    if not tables:
        shared = f"; answers would be shared through {', '.join(servers)}" if servers else ""
        return Diagnosis(NAME, "ok", f"no table is cached{shared}")
    settings = runtime.settings
    if settings.of(RestSettings).is_timed(is_development=settings.core.env == "development"):
        message = (
            "tables are marked, and nothing is cached with Server-Timing, which is on in development; set "
            "MONOHULL_REST_SERVER_TIMING_ENABLED=false"
        )
        return Diagnosis(NAME, "advice", message)
    where = f"answers are shared through {', '.join(servers)}" if servers else "each process by itself"
    return Diagnosis(NAME, "ok", f"{len(tables)} {'table' if len(tables) == 1 else 'tables'}, {where}")


async def _ask_servers(runtime: Runtime) -> tuple[Sequence[str], Sequence[str]]:
    """Return what the servers say they are, and what is wrong with those that say nothing."""
    there, away = [], []
    for keeper in open_keepers(runtime, runtime.settings.of(RestSettings)):
        try:
            there.append(f"{keeper.kind} {await keeper.version()}")
        except (KeeperAway, KeeperBusy) as error:
            away.append(str(error))
        finally:
            await keeper.close()
    return there, away


def _idle(tables: Sequence[CachedTableView]) -> Diagnosis | None:
    """Find a table whose trigger costs its writers something, and gives nobody an answer."""
    for table in tables:
        if table.reason is not None:
            return Diagnosis(NAME, "wrong", f"{table.table} is marked and not cached: {table.reason}")
        if not any(role.is_cached for role in table.roles):
            why = next((role.reason for role in table.roles if role.reason is not None), "")
            message = f"{table.table} is marked and cached for nobody: {why}; `monohull cache remove` it"
            return Diagnosis(NAME, "advice", message)
    return None
