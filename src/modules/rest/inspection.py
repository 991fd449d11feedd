"""Requests that ask what there is: OPTIONS, the root, and the plan of a statement.

    OPTIONS /rest/v1/orders                                        which methods it has
    GET     /rest/v1/                                              the description of the API
    GET     /rest/v1/orders  Accept: application/vnd.pgrst.plan    how the database would go about it

None of them is hot.

Source: PostgREST 16, ``Response.hs``, ``infoResponse`` and ``InspectPlan``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modules.query import execute_plan
from modules.rest.description.serving import DOCUMENTS_AT
from modules.rest.openapi import MEDIA_TYPE
from modules.rest.raised import refusal
from modules.rest.request import parse_head, parse_profile, parse_target
from modules.rest.response import Answer
from modules.rest.root import (
    ALLOWS_ROOT,
    Standpoint,
    allowed_on_relation,
    allowed_on_routine,
    answer_headers,
    describe_schema,
)
from modules.rest.scopes import Sight
from modules.rest.transaction import begin_transaction
from monohull.kernel.database.frames import PostgresError
from monohull.kernel.database.role import quoted_search_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.query import Compiled, DataSource, Transaction
    from modules.rest.onlooker import Onlooker
    from modules.rest.request import ApiRequest, Head
    from modules.rest.timing import Stopwatch


def answer_options(scope: Mapping[str, Any], onlooker: Onlooker) -> Answer:
    """Say which methods a path has.

    Raises:
        QueryProblem: 404, there is nothing of this name.
        SchemaNotExposed: PGRST106.
        ScopeMissing: MH103.
    """
    settings = onlooker.config.settings
    if scope["path"] in DOCUMENTS_AT:
        return Answer(200, answer_headers(ALLOWS_ROOT), b"")
    kind, name = parse_target({**scope, "method": "GET"}, settings.root_spec)
    schema = parse_profile(scope, settings)
    compiler, principal = onlooker.compiler, onlooker.principal
    scopes = principal.scopes
    allow = ALLOWS_ROOT
    if kind == "function":
        if scopes is not None:
            onlooker.scopes.demand_call(scopes, schema, name)
        allow = allowed_on_routine(compiler.catalog, schema, name)
    elif kind == "relation":
        if scopes is not None:
            onlooker.scopes.demand_any(scopes, schema, name)
        relation = compiler.find(schema, name, role=principal.role, anonymous=onlooker.is_anonymous)
        allow = allowed_on_relation(relation)
        if scopes is not None:
            allow = onlooker.scopes.allowed(scopes, schema, name, allow)
    return Answer(200, answer_headers(allow), b"")


async def answer_root(
    scope: Mapping[str, Any], onlooker: Onlooker, source: DataSource, watch: Stopwatch
) -> Answer:
    """Describe a schema.

    Raises:
        RootNotDescribed: PGRST126.
        DatabaseRefused: The database refused the statement.
    """
    settings = onlooker.config.settings
    head = parse_head(scope, settings)
    watch.lap("parse")
    transaction = begin_transaction(
        scope,
        head,
        onlooker.principal,
        quoted_search_path((head.schema, *settings.extra_search_path)),
        read_only=True,
        config=onlooker.config,
    )
    watch.lap("plan")
    try:
        body = await describe_schema(source, transaction, _standpoint(onlooker, head.schema))
    except PostgresError as error:
        raise refusal(error, anonymous=onlooker.is_anonymous) from error
    watch.lap("transaction")
    profile = [(b"content-profile", head.schema.encode())] if head.is_profiled else []
    return _whole(head, [(b"content-type", MEDIA_TYPE.encode()), *profile], body)


def _standpoint(onlooker: Onlooker, schema: str) -> Standpoint:
    compiler, principal = onlooker.compiler, onlooker.principal
    closed = frozenset(name for of, name in compiler.closed_to(principal.role) if of == schema)
    scopes = principal.scopes
    return Standpoint(
        compiler.catalog,
        onlooker.config.settings,
        schema,
        closed,
        onlooker.address,
        None if scopes is None else Sight(onlooker.scopes, scopes, schema),
        principal.columns,
    )


async def answer_plan(
    request: ApiRequest, compiled: Compiled, transaction: Transaction, source: DataSource, watch: Stopwatch
) -> Answer:
    """Show how the database would go about the statement; whether the caller may know is decided before.

    Raises:
        PostgresError: The server refused.
    """
    explain = request.media.explain
    assert explain is not None
    body = await execute_plan(source, compiled, request.values, transaction, explain.clause)
    watch.lap("transaction")
    return _whole(request.head, [(b"content-type", explain.content_type.encode())], body)


def _whole(head: Head, headers: list[tuple[bytes, bytes]], body: bytes) -> Answer:
    if head.method == "HEAD":
        return Answer(200, headers, b"")
    return Answer(200, [*headers, (b"content-length", str(len(body)).encode())], body)
