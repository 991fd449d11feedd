"""The alerts, each with two stories for `promtool test rules`: it fires in one and not in the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from modules.audit.metrics import DISTURBED
from modules.audit.metrics import LAG_SECONDS as AUDIT_LAG
from modules.jobs.metrics import OLDEST_SECONDS as JOBS_OLDEST
from modules.schedules.metrics import OVERDUE_SECONDS as SCHEDULES_OVERDUE
from modules.webhooks.metrics import ATTEMPTS as WEBHOOK_ATTEMPTS
from modules.webhooks.metrics import DISABLED as WEBHOOKS_DISABLED
from modules.webhooks.metrics import OLDEST_SECONDS as WEBHOOKS_OLDEST
from monohull.kernel import core_metrics as core

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monohull.kernel.metric import Metric

RUNBOOKS: Final = "docs/runbooks"


class Alert(Struct, frozen=True, kw_only=True):
    """One rule.

    Attributes:
        name: Of the alert and of its page among the runbooks.
        expression: PromQL; true for whatever it returns.
        holds_for: How long it has to be true.
        severity: ``critical`` wakes somebody, ``warning`` waits for the morning.
        summary: One sentence; ``{{ $labels.x }}`` names what is meant.
        labels: Of the alert that fires in its story.
        fires: Series of the story in which it fires, by selector, in promtool's notation, a value a minute.
        calm: Those of the story in which it does not.
        at: When it is looked at.
    """

    name: str
    expression: str
    holds_for: str
    severity: Literal["critical", "warning"]
    summary: str
    labels: Mapping[str, str] = {}
    fires: Mapping[str, str]
    calm: Mapping[str, str]
    at: str = "30m"


def state(name: str, metric: Metric, bound: str, summary: str, *, critical: bool = False) -> Alert:
    """Return the alert of a gauge of the instance that is above ``bound`` for five minutes.

    What several processes tell of one thing is one alert: the largest counts.
    """
    by = f" by ({', '.join(metric.labels)})" if metric.labels else ""
    labels = ",".join(f'{label}="x"' for label in metric.labels)
    return Alert(
        name=name,
        expression=f"max{by} ({metric.name}) > {bound}",
        holds_for="5m",
        severity="critical" if critical else "warning",
        summary=summary,
        labels=dict.fromkeys(metric.labels, "x"),
        fires={f"{metric.name}{{{labels}}}": f"{bound}+60x30"},
        calm={f"{metric.name}{{{labels}}}": f"{bound}x30"},
    )


def happened(  # noqa: PLR0913 a declaration
    name: str,
    metric: Metric,
    summary: str,
    *,
    where: str = "",
    by: str = "",
    critical: bool = False,
) -> Alert:
    """Return the alert of something that should never be counted, and was within a quarter of an hour.

    A series that is not 0 when it is seen first has risen too, which `increase` does not know.
    """
    chosen = f"{metric.name}{{{where}}}" if where else metric.name
    group = f" by ({by})" if by else ""
    labels = ",".join(filter(None, (where, f'{by}="x"' if by else "")))
    series = f"{metric.name}{{{labels}}}"
    risen = f"sum{group} (increase({chosen}[15m])) > 0"
    appeared = f"sum{group} ({chosen} unless {chosen} offset 15m) > 0"
    return Alert(
        name=name,
        expression=f"{risen} or {appeared}",
        holds_for="0m",
        severity="critical" if critical else "warning",
        summary=summary,
        labels={by: "x"} if by else {},
        fires={series: "_x25 1x5"},
        calm={series: "3x30"},
    )


ALERTS: Final = (
    Alert(
        name="MonohullDown",
        expression='up{job=~".*monohull.*"} == 0',
        holds_for="2m",
        severity="critical",
        summary="{{ $labels.instance }} ({{ $labels.job }}) cannot be scraped.",
        labels={"job": "monohull-api", "instance": "a:9464"},
        fires={'up{job="monohull-api",instance="a:9464"}': "1x20 0x10"},
        calm={'up{job="monohull-api",instance="a:9464"}': "1x30"},
    ),
    Alert(
        name="MonohullHealthCheckFails",
        expression=f"min by (check) ({core.HEALTH_CHECK.name}) == 0",
        holds_for="2m",
        severity="critical",
        summary="The check {{ $labels.check }} of /health/ready does not hold.",
        labels={"check": "redis"},
        fires={f'{core.HEALTH_CHECK.name}{{check="redis"}}': "1x20 0x10"},
        calm={f'{core.HEALTH_CHECK.name}{{check="redis"}}': "1x30"},
    ),
    Alert(
        name="MonohullErrorRate",
        expression=(
            f'sum(rate({core.REQUESTS.name}{{status=~"5.."}}[5m])) '
            f"/ sum(rate({core.REQUESTS.name}[5m])) > 0.01"
        ),
        holds_for="5m",
        severity="critical",
        summary="{{ $value | humanizePercentage }} of the requests are answered with 5xx.",
        fires={
            f'{core.REQUESTS.name}{{status="{status}"}}': f"0+{step}x30"
            for status, step in ((200, 90), (503, 10))
        },
        calm={
            f'{core.REQUESTS.name}{{status="{status}"}}': f"0+{step}x30"
            for status, step in ((200, 990), (404, 90), (503, 5))
        },
    ),
    happened(
        "MonohullDefects",
        core.REQUEST_FAILURES,
        "A request of {{ $labels.route }} met a defect (500).",
        by="route",
    ),
    Alert(
        name="MonohullSlow",
        expression=(
            f"histogram_quantile(0.95, sum by (le) (rate({core.REQUEST_SECONDS.name}_bucket[5m]))) > 1"
        ),
        holds_for="10m",
        severity="warning",
        summary="One request of twenty takes longer than {{ $value | humanizeDuration }}.",
        fires={
            f'{core.REQUEST_SECONDS.name}_bucket{{le="{le}"}}': f"0+{step}x30"
            for le, step in (("1.0", 50), ("5.0", 100), ("+Inf", 100))
        },
        calm={
            f'{core.REQUEST_SECONDS.name}_bucket{{le="{le}"}}': f"0+{step}x30"
            for le, step in (("1.0", 99), ("5.0", 100), ("+Inf", 100))
        },
    ),
    Alert(
        name="MonohullEventLoopHeldUp",
        expression=f"max by (process) ({core.LOOP_LAG.name}) > 0.5",
        holds_for="5m",
        severity="warning",
        summary="The event loop ({{ $labels.process }}) is held up for {{ $value | humanizeDuration }}.",
        labels={"process": "api"},
        fires={f'{core.LOOP_LAG.name}{{process="api"}}': "0.8x30"},
        calm={f'{core.LOOP_LAG.name}{{process="api"}}': "0.01x25 0.8x5"},
        at="27m",
    ),
    happened(
        "MonohullPoolExhausted", core.POOL_EXPIRED, "Requests gave up waiting for a database connection."
    ),
    Alert(
        name="MonohullServerConnectionsScarce",
        expression=f"max({core.SERVER_CONNECTIONS.name}) / max({core.SERVER_MAX_CONNECTIONS.name}) > 0.9",
        holds_for="5m",
        severity="warning",
        summary="{{ $value | humanizePercentage }} of the connections that PostgreSQL allows are taken.",
        fires={core.SERVER_CONNECTIONS.name: "95x30", core.SERVER_MAX_CONNECTIONS.name: "100x30"},
        calm={core.SERVER_CONNECTIONS.name: "80x30", core.SERVER_MAX_CONNECTIONS.name: "100x30"},
    ),
    Alert(
        name="MonohullRedisFull",
        expression=(f"max({core.REDIS_MEMORY.name}) / (max({core.REDIS_MAX_MEMORY.name}) > 0) > 0.9"),
        holds_for="5m",
        severity="warning",
        summary="Redis uses {{ $value | humanizePercentage }} of its memory.",
        fires={core.REDIS_MEMORY.name: "950x30", core.REDIS_MAX_MEMORY.name: "1000x30"},
        calm={core.REDIS_MEMORY.name: "950x30", core.REDIS_MAX_MEMORY.name: "0x30"},
    ),
    Alert(
        name="MonohullRedisEvicts",
        expression=f"max(increase({core.REDIS_EVICTED.name}[15m])) > 0",
        holds_for="0m",
        severity="warning",
        summary="Redis drops keys for want of memory.",
        fires={core.REDIS_EVICTED.name: "5x25 9x5"},
        calm={core.REDIS_EVICTED.name: "_x25 5x5"},
    ),
    Alert(
        name="MonohullNoWorker",
        expression=f"max({core.WORKERS.name}) == 0",
        holds_for="2m",
        severity="critical",
        summary="No worker lives: no job runs and no event is handed on.",
        fires={core.WORKERS.name: "1x20 0x10"},
        calm={core.WORKERS.name: "2x20 1x10"},
    ),
    state(
        "MonohullOutboxLate",
        core.OUTBOX_LAG,
        "60",
        "An event or job waits for {{ $value | humanizeDuration }} to be handed on.",
        critical=True,
    ),
    state(
        "MonohullJobsLate",
        JOBS_OLDEST,
        "300",
        "A job of the queue {{ $labels.queue }} is due for {{ $value | humanizeDuration }}.",
    ),
    happened(
        "MonohullJobsDie",
        core.JOB_ATTEMPTS,
        "A job {{ $labels.job_name }} failed for the last time.",
        where='outcome="dead"',
        by="job_name",
    ),
    state(
        "MonohullFeedReaderLate",
        core.FEED_LAG_SECONDS,
        "300",
        "The reader {{ $labels.reader }} is {{ $value | humanizeDuration }} behind the feed.",
    ),
    happened(
        "MonohullEventsUnread",
        core.FEED_UNREAD_DELETED,
        "Events were deleted before every reader had seen them.",
        critical=True,
    ),
    Alert(
        name="MonohullWebhooksStalled",
        expression=(
            f"max({WEBHOOKS_OLDEST.name}) > 900 "
            f"and on () (sum(rate({WEBHOOK_ATTEMPTS.name}[10m])) or vector(0)) == 0"
        ),
        holds_for="5m",
        severity="critical",
        summary="A delivery waits for {{ $value | humanizeDuration }}, and none is tried.",
        fires={WEBHOOKS_OLDEST.name: "1000+60x30"},
        calm={
            WEBHOOKS_OLDEST.name: "1000+60x30",
            f'{WEBHOOK_ATTEMPTS.name}{{endpoint="x",state="retried"}}': "0+1x30",
        },
    ),
    state(
        "MonohullWebhooksDisabled",
        WEBHOOKS_DISABLED,
        "0",
        "{{ $value }} endpoints were disabled because they failed.",
    ),
    state(
        "MonohullSchedulesOverdue",
        SCHEDULES_OVERDUE,
        "300",
        "A schedule is overdue for {{ $value | humanizeDuration }}.",
    ),
    state(
        "MonohullAuditLate",
        AUDIT_LAG,
        "300",
        "What happened {{ $value | humanizeDuration }} ago is not in the audit log.",
    ),
    happened(
        "MonohullAuditDisturbed", DISTURBED, "Somebody else wrote at the end of the audit log.", critical=True
    ),
)


def rules() -> object:
    """Return the rule file."""
    return {
        "groups": [
            {
                "name": "monohull",
                "rules": [
                    {
                        "alert": alert.name,
                        "expr": alert.expression,
                        "for": alert.holds_for,
                        "labels": {"severity": alert.severity},
                        "annotations": annotations_of(alert),
                    }
                    for alert in ALERTS
                ],
            }
        ]
    }


def annotations_of(alert: Alert) -> dict[str, str]:
    """Return what an alert says beside its name; the runbook is a path in this repository."""
    return {"summary": alert.summary, "runbook": f"{RUNBOOKS}/{alert.name}.md"}


def stories(alert: Alert) -> object:
    """Return the file of promtool's tests of one alert.

    A rule that never fires is found by the first story, one that always does by the second.
    """
    return {
        "rule_files": ["../rules.yml"],
        "evaluation_interval": "1m",
        "tests": [_story(alert, alert.fires, 1), _story(alert, alert.calm, 0)],
    }


def _story(alert: Alert, series: Mapping[str, str], fires: int) -> object:
    selector = f'ALERTS{{alertname="{alert.name}",alertstate="firing"}}'
    labels = ",".join(f'{name}="{value}"' for name, value in sorted(alert.labels.items()))
    expected = [{"labels": f"{{{labels}}}", "value": 1}] if fires else []
    return {
        "name": f"{alert.name} {'fires' if fires else 'is calm'}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f"sum without (alertname, alertstate, severity) ({selector})",
                "eval_time": alert.at,
                "exp_samples": expected,
            }
        ],
    }
