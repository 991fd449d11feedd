"""The Grafana dashboards: one for each part, with queries by the catalogue's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import Struct

from modules.audit import metrics as audit
from modules.auth import metrics as auth
from modules.ingest import metrics as ingest
from modules.jobs import metrics as jobs
from modules.queues import metrics as queues
from modules.rest import metrics as rest
from modules.schedules import metrics as schedules
from modules.streams import metrics as streams
from modules.webhooks import metrics as webhooks
from monohull.kernel import core_metrics as core

if TYPE_CHECKING:
    from monohull.kernel.metric import Metric

Unit: TypeAlias = Literal["short", "reqps", "ops", "s", "bytes", "percentunit"]

SCHEMA_VERSION: Final = 39
WIDTH, HEIGHT, ACROSS = 8, 8, 3
DATA_API: Final = 'route=~"/rest/.*"'
AUTH: Final = 'route=~"/auth/.*"'


class Panel(Struct, frozen=True):
    """One chart: queries by what their lines are called."""

    title: str
    unit: Unit
    queries: dict[str, str]


def rate(metric: Metric, by: str = "", where: str = "") -> str:
    """How often a counter rises a second."""
    group = f" by ({by})" if by else ""
    return f"sum{group} (rate({metric.name}{{{where}}}[$__rate_interval]))"


def largest(metric: Metric, by: str = "") -> str:
    """What several processes tell of one thing."""
    return f"max{f' by ({by})' if by else ''} ({metric.name})"


def fastest(metric: Metric) -> str:
    """How often something of the instance happens a second, which several processes tell."""
    return f"max(rate({metric.name}[$__rate_interval]))"


def total(metric: Metric, by: str = "") -> str:
    """What each process tells of itself, added up."""
    return f"sum{f' by ({by})' if by else ''} ({metric.name})"


def quantile(share: float, metric: Metric, where: str = "") -> str:
    """The value that ``share`` of what was measured stays under."""
    return (
        f"histogram_quantile({share}, sum by (le) (rate({metric.name}_bucket{{{where}}}[$__rate_interval])))"
    )


def spread(metric: Metric, where: str = "") -> dict[str, str]:
    """Return the median and the slow ends."""
    return {f"p{share * 100:g}": quantile(share, metric, where) for share in (0.5, 0.95, 0.99)}


def requests(where: str) -> tuple[Panel, ...]:
    """The three panels that any group of routes has."""
    failed = ",".join(filter(None, (where, 'status=~"5.."')))
    return (
        Panel("Requests", "reqps", {"{{status}}": rate(core.REQUESTS, "status", where)}),
        Panel("Duration", "s", spread(core.REQUEST_SECONDS, where)),
        Panel(
            "Share of 5xx",
            "percentunit",
            {"5xx": f"{rate(core.REQUESTS, where=failed)} / {rate(core.REQUESTS, where=where)}"},
        ),
    )


DASHBOARDS: Final[dict[str, tuple[str, tuple[Panel, ...]]]] = {
    "overview": (
        "Overview",
        (
            *requests(""),
            Panel(
                "Checks of /health/ready",
                "short",
                {"{{check}}": f"min by (check) ({core.HEALTH_CHECK.name})"},
            ),
            Panel("Workers", "short", {"workers": largest(core.WORKERS)}),
            Panel("Requests in flight", "short", {"{{process}}": total(core.REQUESTS_IN_FLIGHT, "process")}),
            Panel("Resident memory", "bytes", {"{{process}}": total(core.RESIDENT_MEMORY, "process")}),
            Panel("Processor", "short", {"{{process}}": rate(core.CPU_SECONDS, "process")}),
            Panel("Event loop held up", "s", {"{{process}}": largest(core.LOOP_LAG, "process")}),
            Panel("Open files", "short", {"{{process}}": total(core.OPEN_FILES, "process")}),
            Panel(
                "Time since the start",
                "s",
                {"{{process}}": f"time() - {largest(core.START_TIME, 'process')}"},
            ),
            Panel(
                "Versions",
                "short",
                {"{{version}} on {{python}}": f"count by (version, python) ({core.BUILD_INFO.name})"},
            ),
            Panel("Defects", "ops", {"{{route}}": rate(core.REQUEST_FAILURES, "route")}),
            Panel(
                "Dependencies",
                "ops",
                {
                    "{{name}} lost": rate(core.DEPENDENCY_LOST, "name"),
                    "{{name}} back": rate(core.DEPENDENCY_BACK, "name"),
                },
            ),
            Panel("Refused by rate limits", "reqps", {"{{limit}}": rate(core.REFUSALS, "limit")}),
            Panel(
                "Spans of traces",
                "ops",
                {
                    "taken": rate(core.SPANS_EXPORTED),
                    "dropped: {{reason}}": rate(core.SPANS_DROPPED, "reason"),
                },
            ),
            Panel(
                "Spans that wait for the collector",
                "short",
                {"{{process}}": total(core.SPANS_WAITING, "process")},
            ),
        ),
    ),
    "data-api": (
        "Data API",
        (
            *requests(DATA_API),
            Panel(
                "Requests by route",
                "reqps",
                {"{{method}} {{route}}": rate(core.REQUESTS, "method, route", DATA_API)},
            ),
            Panel(
                "Connections",
                "short",
                {"in use": total(core.POOL_IN_USE), "waiting": total(core.POOL_WAITING)},
            ),
            Panel(
                "Refused by the rate limit", "reqps", {"refused": rate(core.REFUSALS, where='limit="rest"')}
            ),
            Panel("Writes with a key", "ops", {"{{outcome}}": rate(rest.IDEMPOTENT_WRITES, "outcome")}),
            Panel(
                "Batches",
                "ops",
                {"{{outcome}}": rate(rest.BATCHES, "outcome"), "begun": rate(rest.BATCH_TRIES)},
            ),
            Panel("Conditional requests", "ops", {"{{outcome}}": rate(rest.CONDITIONS, "outcome")}),
            Panel("Pages by cursor", "ops", {"{{way}}": rate(rest.PAGES, "way")}),
            Panel("Query guard", "ops", {"{{outcome}}": rate(rest.GUARD, "outcome")}),
            Panel(
                "Nested writes",
                "ops",
                {"{{outcome}}": rate(rest.NESTED_WRITES, "outcome"), "rows": rate(rest.NESTED_ROWS)},
            ),
            Panel("Descriptions", "ops", {"{{kind}} {{outcome}}": rate(rest.DOCUMENTS, "kind, outcome")}),
            Panel("Reads of cached tables", "ops", {"{{outcome}}": rate(rest.CACHE_READS, "outcome")}),
            Panel(
                "Answers kept, and commits that outdate them",
                "ops",
                {"{{level}}": rate(rest.CACHE_STORES, "level"), "commits": rate(rest.CACHE_NOTICES)},
            ),
            Panel("Size of the response cache", "bytes", {"memory": total(rest.CACHE_BYTES)}),
            Panel("Age of the cache's heartbeat", "s", {"oldest": f"max({rest.CACHE_HEARTBEAT.name})"}),
        ),
    ),
    "auth": (
        "Auth",
        (
            *requests(AUTH),
            Panel(
                "Requests by route",
                "reqps",
                {"{{method}} {{route}}": rate(core.REQUESTS, "method, route", AUTH)},
            ),
            Panel(
                "Tokens found in the cache",
                "percentunit",
                {"found": f"{rate(auth.CACHE_HITS)} / ({rate(auth.CACHE_HITS)} + {rate(auth.CACHE_MISSES)})"},
            ),
            Panel("Tokens remembered", "short", {"tokens": total(auth.CACHE_ENTRIES)}),
            Panel("Ended sessions and changed users", "short", {"known": largest(auth.DENYLIST_ENTRIES)}),
            Panel("Legacy keys", "ops", {"{{role}} {{outcome}}": rate(auth.LEGACY_KEYS, "role, outcome")}),
            Panel(
                "Permissions",
                "ops",
                {"asked for": rate(core.GRANTS_LOOKUPS), "changes": rate(core.GRANTS_EPOCHS)},
            ),
            Panel(
                "Principals whose permissions are known",
                "short",
                {"principals": total(core.GRANTS_REMEMBERED)},
            ),
            Panel(
                "Refused by rate limits",
                "reqps",
                {"{{limit}}": rate(core.REFUSALS, "limit", 'limit!="rest"')},
            ),
        ),
    ),
    "jobs": (
        "Jobs and events",
        (
            Panel("Due and not begun", "short", {"{{queue}}": largest(jobs.WAITING, "queue")}),
            Panel("Oldest of them", "s", {"{{queue}}": largest(jobs.OLDEST_SECONDS, "queue")}),
            Panel("Workers", "short", {"workers": largest(core.WORKERS)}),
            Panel("Attempts by outcome", "ops", {"{{outcome}}": rate(core.JOB_ATTEMPTS, "outcome")}),
            Panel("Attempts by job", "ops", {"{{job_name}}": rate(core.JOB_ATTEMPTS, "job_name")}),
            Panel("Duration of jobs", "s", spread(core.JOB_SECONDS)),
            Panel("Waiting in Redis", "short", {"jobs": largest(core.QUEUE_DEPTH)}),
            Panel(
                "Taken back or sent again",
                "ops",
                {
                    "{{queue}} taken back": rate(core.JOBS_RETURNED, "queue"),
                    "sent again": rate(core.JOBS_SENT_AGAIN),
                },
            ),
            Panel("Outbox: age of the oldest", "s", {"age": largest(core.OUTBOX_LAG)}),
            Panel(
                "Events",
                "ops",
                {
                    "relayed": rate(core.EVENTS_RELAYED),
                    "{{reader}} read": rate(core.FEED_EVENTS_READ, "reader"),
                },
            ),
            Panel(
                "Readers of the feed: events behind",
                "short",
                {"{{reader}}": largest(core.FEED_LAG_EVENTS, "reader")},
            ),
            Panel(
                "Readers of the feed: time behind",
                "s",
                {"{{reader}}": largest(core.FEED_LAG_SECONDS, "reader")},
            ),
            Panel("Events deleted unread", "ops", {"events": rate(core.FEED_UNREAD_DELETED)}),
            Panel("Messages in queues of users", "short", {"messages": largest(queues.MESSAGES)}),
        ),
    ),
    "postgresql": (
        "PostgreSQL pool",
        (
            Panel(
                "Data connections",
                "short",
                {"in use": total(core.POOL_IN_USE), "allowed": total(core.POOL_SIZE)},
            ),
            Panel("Requests that wait for one", "short", {"waiting": total(core.POOL_WAITING)}),
            Panel("Requests that gave up", "ops", {"gave up": rate(core.POOL_EXPIRED)}),
            Panel(
                "Connections of the server",
                "short",
                {"all": largest(core.SERVER_CONNECTIONS), "allowed": largest(core.SERVER_MAX_CONNECTIONS)},
            ),
            Panel(
                "Transactions",
                "ops",
                {
                    "committed": fastest(core.COMMITS),
                    "rolled back": fastest(core.ROLLBACKS),
                },
            ),
            Panel("Deadlocks", "ops", {"deadlocks": fastest(core.DEADLOCKS)}),
            Panel(
                "Blocks found in memory",
                "percentunit",
                {
                    "found": (
                        f"{fastest(core.BLOCKS_HIT)} "
                        f"/ ({fastest(core.BLOCKS_HIT)} + {fastest(core.BLOCKS_READ)})"
                    )
                },
            ),
        ),
    ),
    "redis": (
        "Redis",
        (
            Panel(
                "Memory",
                "bytes",
                {"used": largest(core.REDIS_MEMORY), "allowed": largest(core.REDIS_MAX_MEMORY)},
            ),
            Panel("Commands", "ops", {"commands": fastest(core.REDIS_COMMANDS)}),
            Panel(
                "Time of a command in Redis",
                "s",
                {"mean": f"{fastest(core.REDIS_COMMAND_SECONDS)} / {fastest(core.REDIS_COMMANDS)}"},
            ),
            Panel("Time of a PING", "s", {"ping": largest(core.REDIS_PING)}),
            Panel("Connections", "short", {"clients": largest(core.REDIS_CLIENTS)}),
            Panel(
                "Keys dropped for space",
                "ops",
                {"keys": fastest(core.REDIS_EVICTED)},
            ),
        ),
    ),
    "webhooks": (
        "Webhooks",
        (
            Panel("Waiting deliveries", "short", {"deliveries": largest(webhooks.WAITING)}),
            Panel("Oldest of them", "s", {"age": largest(webhooks.OLDEST_SECONDS)}),
            Panel(
                "Endpoints disabled because they failed", "short", {"endpoints": largest(webhooks.DISABLED)}
            ),
            Panel("Attempts", "ops", {"{{state}}": rate(webhooks.ATTEMPTS, "state")}),
            Panel("Attempts by endpoint", "ops", {"{{endpoint}}": rate(webhooks.ATTEMPTS, "endpoint")}),
            Panel("Duration", "s", spread(webhooks.ATTEMPT_SECONDS)),
        ),
    ),
    "streams": (
        "Streams and ingest",
        (
            Panel("Events taken by sinks", "ops", {"{{sink}}": rate(streams.EVENTS, "sink")}),
            Panel("Time until a batch was taken", "s", spread(streams.BATCH_SECONDS)),
            Panel("Batches not taken", "ops", {"{{sink}}": rate(streams.FAILURES, "sink")}),
            Panel(
                "Failures of sinks in a row", "short", {"{{sink}}": largest(streams.SINK_FAILURES, "sink")}
            ),
            Panel("Messages by outcome", "ops", {"{{outcome}}": rate(ingest.MESSAGES, "outcome")}),
            Panel("Messages by source", "ops", {"{{source}}": rate(ingest.MESSAGES, "source")}),
            Panel("Messages behind", "short", {"{{source}}": largest(ingest.LAG_MESSAGES, "source")}),
            Panel("Sources that could not go on", "ops", {"{{source}}": rate(ingest.FAILURES, "source")}),
            Panel("Messages given up", "short", {"{{source}}": largest(ingest.DEAD_LETTERS, "source")}),
        ),
    ),
    "schedules": (
        "Schedules",
        (
            Panel("Most overdue", "s", {"overdue": largest(schedules.OVERDUE_SECONDS)}),
            Panel("Runs by outcome", "ops", {"{{outcome}}": rate(schedules.RUNS, "outcome")}),
            Panel("Runs by schedule", "ops", {"{{schedule}}": rate(schedules.RUNS, "schedule")}),
        ),
    ),
    "audit": (
        "Audit",
        (
            Panel("Age of the oldest that waits", "s", {"age": largest(audit.LAG_SECONDS)}),
            Panel("Entries", "ops", {"entries": rate(audit.ENTRIES)}),
            Panel("Disturbed", "ops", {"disturbed": rate(audit.DISTURBED)}),
        ),
    ),
}
"""By file: title and panels."""

_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


def dashboard(name: str) -> dict[str, Any]:
    """Return what Grafana imports or is provisioned with."""
    title, panels = DASHBOARDS[name]
    return {
        "uid": f"monohull-{name}",
        "title": f"Monohull: {title}",
        "tags": ["monohull"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
            ]
        },
        "links": [{"type": "dashboards", "title": "Monohull", "tags": ["monohull"], "asDropdown": True}],
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    down, across = divmod(number, ACROSS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": {"x": across * WIDTH, "y": down * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for at, (legend, expression) in enumerate(panel.queries.items())
        ],
    }
