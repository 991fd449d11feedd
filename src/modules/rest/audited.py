"""What the audit log is told of a data request, where a mark in the schema asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from modules.rest.events import SensitiveColumnsRead
from monohull.kernel.database.statements import Statement
from monohull.kernel.origin import of_scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.query import Compiled, ResultSet, Transaction
    from modules.rest.request import ApiRequest
    from monohull.kernel.trace import Trace

_TELL: Final = "select set_config('monohull.origin', $1, true)"


def with_origin(transaction: Transaction, scope: Mapping[str, Any]) -> Transaction:
    """Let the triggers of audited tables know which request changes rows, and where it came from."""
    trace: Trace = scope["state"]["trace"]
    told = {
        **msgspec.to_builtins(of_scope(scope)),
        "request_id": trace.request_id,
        "traceparent": trace.traceparent,
    }
    statement = Statement(_TELL, (msgspec.json.encode(told),), f"origin.{transaction.plan_key}")
    return msgspec.structs.replace(transaction, before=(*transaction.before, statement))


def read_of(request: ApiRequest, compiled: Compiled, result: ResultSet) -> SensitiveColumnsRead:
    """Return the event of a request that selected marked columns."""
    asked: Any = request.asked
    name = getattr(asked, "relation", None) or asked.function
    return SensitiveColumnsRead(
        relation=f"{request.schema}.{name}",
        columns=compiled.sensitive,
        rows=result.rows,
        filters=compiled.filters,
        method=request.head.method,
    )
