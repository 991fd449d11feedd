"""A request as the bytes that go out: Bind and Execute, and Parse of what the server does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from monohull.kernel.database.frames import SYNC, encode_bind, encode_bound, encode_known, encode_parse
from monohull.kernel.database.statements import BoundSettings, Statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monohull.kernel.database.exchange import Exchange
    from monohull.kernel.database.statements import (
        Isolation,
        Key,
        Prepared,
        Settings,
        Span,
        StatementCache,
    )

AT_ONCE_BYTES: Final = 16 * 1024
"""Settings and arguments of a request that is encoded in one piece, and that may share a connection."""


def compose_known(
    cache: StatementCache, statement: Statement, settings: BoundSettings
) -> tuple[bytes, list[Prepared]] | None:
    """Encode settings and one statement at once if the server knows both; return them and what they are.

    Nearly every request is so. None for another, and for a large one.

    Raises:
        InvalidRequest: An argument is no text.
    """
    pair = cache.pairs.get(statement.key)
    if (
        pair is None
        or pair.sql is not statement.sql
        or pair.names is not settings.names
        or pair.count != len(statement.args)
        or cache.is_crowded
    ):
        pair = cache.find_pair(settings.names, statement)
        if pair is None:
            return None
    begin = pair.begin if pair.settings is settings else pair.begin_with(settings)
    known = encode_known(begin, pair.asked, statement.args, AT_ONCE_BYTES)
    return None if known is None else (known, pair.steps)


def compose(  # noqa: PLR0913 a request has these parts
    exchange: Exchange,
    cache: StatementCache,
    statements: Sequence[Statement],
    settings: Settings,
    *,
    commit: bool,
    isolation: Isolation | None,
    span: Span = "whole",
) -> None:
    """Leave in ``exchange`` the parts to be written, its steps, and how many come before the statements."""
    is_explicit = not commit or isolation is not None
    if span == "first" or (span == "whole" and is_explicit):
        begin = f"BEGIN ISOLATION LEVEL {isolation}" if isolation else "BEGIN"
        _add(exchange, cache, Statement(begin, (), begin), describe=False)
    if isinstance(settings, BoundSettings):
        prepared = _find(exchange, cache, settings.names, None, describe=False)
        exchange.size += encode_bound(exchange.parts, prepared.name, len(settings.names), settings.values)
    elif settings:
        names, values = zip(*settings, strict=True)
        prepared = _find(exchange, cache, names, None, describe=False)
        exchange.size += encode_bind(exchange.parts, prepared.name, values)
    exchange.first = len(exchange.steps)
    for statement in statements:
        _add(exchange, cache, statement, describe=True)
    if span == "last" or (span == "whole" and is_explicit):
        end = "COMMIT" if commit else "ROLLBACK"
        _add(exchange, cache, Statement(end, (), end), describe=False)
    if cache.discarded:
        exchange.parts[:0] = cache.take_closes()
    exchange.parts.append(SYNC)


def _add(exchange: Exchange, cache: StatementCache, statement: Statement, *, describe: bool) -> None:
    """Append Bind and Execute, after Parse and Describe where the server does not know the statement."""
    prepared = _find(exchange, cache, statement.key, statement.sql, describe=describe)
    exchange.size += encode_bind(exchange.parts, prepared.name, statement.args)


def _find(
    exchange: Exchange, cache: StatementCache, key: Key, sql: str | None, *, describe: bool
) -> Prepared:
    """Return the statement of the next step; append Parse where the server does not know it."""
    prepared = cache.find(key, sql) or exchange.fresh.get(key)
    if prepared is None or (sql is not None and prepared.sql != sql):
        prepared = cache.make("" if key in exchange.fresh else key, sql, describe=describe)
        if prepared.name:
            exchange.fresh[key] = prepared
        parse = encode_parse(prepared.name, prepared.sql, describe=describe)
        exchange.parts.append(parse)
        exchange.size += len(parse)
    exchange.steps.append(prepared)
    return prepared
