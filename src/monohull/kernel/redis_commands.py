"""The commands of a Redis client as spans of the requests and jobs that are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from monohull.kernel.span import Kind

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from monohull.kernel.span import Value
    from monohull.kernel.tracing import Tracing


def trace_commands(client: Redis, tracing: Tracing) -> None:
    """Make a span of each command of ``client``, and one of each pipeline.

    Its two methods are wrapped where they are, for which class a client is depends on its address.
    Keys and values are left out: they may be somebody's.
    """
    patched: Any = client
    execute, pipeline = patched.execute_command, patched.pipeline

    async def execute_command(*arguments: Any, **options: Any) -> Any:
        if tracing.recorded() is None:
            return await execute(*arguments, **options)
        name = str(arguments[0]).upper()
        with tracing.span(name, Kind.CLIENT, **_about(name)):
            return await execute(*arguments, **options)

    def open_pipeline(*arguments: Any, **options: Any) -> Any:
        pipe = pipeline(*arguments, **options)
        if tracing.recorded() is not None:
            execute_all = pipe.execute

            async def execute(*given: Any, **more: Any) -> Any:
                with tracing.span("PIPELINE", Kind.CLIENT, **_about("PIPELINE")) as span:
                    if span is not None:
                        span.attributes["db.operation.batch.size"] = len(pipe)
                    return await execute_all(*given, **more)

            pipe.execute = execute
        return pipe

    patched.execute_command, patched.pipeline = execute_command, open_pipeline


def _about(name: str) -> dict[str, Value]:
    return {"db.system.name": "redis", "db.operation.name": name}
