"""From settings to what keeps answers for all processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.rest.cache.keepers import RedisKeeper
from modules.rest.cache.memcached import Memcached
from modules.rest.cache.memcached_url import MemcachedUrlError, parse_memcached_url
from modules.rest.cache.shared import SEAL_BYTES
from modules.rest.settings import RestSettings
from monohull.kernel.redis_url import RedisUrlError
from monohull.kernel.settings import SettingsError, SettingsFault, variable_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.rest.cache.keepers import Keeper
    from monohull.kernel.runtime import Runtime
    from monohull.kernel.settings import Settings

MAIN: Final = "main"
BOTH: Final = "there is a Redis as second level of the cache already; take one of both out"


def open_keepers(runtime: Runtime, settings: RestSettings) -> Sequence[Keeper]:
    """Return what the settings name as second level, nothing where they name none; nothing is connected yet.

    Raises:
        SettingsError: A URL cannot be read, a file that it names cannot be used, or both are named.
    """
    if settings.cache_memcached is not None:
        if settings.cache_redis is not None:
            raise _fault(runtime.settings, "cache_memcached", BOTH)
        try:
            address = parse_memcached_url(settings.cache_memcached)
            most_bytes = settings.cache_entry_bytes + SEAL_BYTES
            return [Memcached(address, place, most_bytes) for place in range(len(address.hosts))]
        except MemcachedUrlError as error:
            raise _fault(runtime.settings, "cache_memcached", f"the value is not allowed: {error}") from error
    if settings.cache_redis is None:
        return []
    is_main = settings.cache_redis == MAIN
    try:
        return [RedisKeeper(runtime.connections.redis_url if is_main else settings.cache_redis)]
    except RedisUrlError as error:
        raise _fault(runtime.settings, "cache_redis", f"the value is not allowed: {error}") from error


def _fault(settings: Settings, field: str, message: str) -> SettingsError:
    variable = variable_name(RestSettings, field)
    return SettingsError([SettingsFault(variable, settings.sources.get(variable, "default"), message)])
