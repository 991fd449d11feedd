"""The metrics of the kernel: processes, requests, connections, jobs and events."""

from __future__ import annotations

from typing import Final

from monohull.kernel.metric import PROCESS, counter, gauge, histogram, process_gauge

BUILD_INFO: Final = gauge("monohull_build_info", "1, with the version that runs.", "version", "python")
RESIDENT_MEMORY: Final = process_gauge(
    "monohull_process_resident_memory_bytes", "Resident memory of a process.", merge="each"
)
CPU_SECONDS: Final = counter("monohull_process_cpu_seconds_total", "Processor time used.", PROCESS)
OPEN_FILES: Final = process_gauge(
    "monohull_process_open_files", "Open file descriptors of a process.", merge="each"
)
START_TIME: Final = process_gauge(
    "monohull_process_start_time_seconds", "When a process started, in seconds since 1970.", merge="each"
)
LOOP_LAG: Final = process_gauge(
    "monohull_event_loop_lag_seconds",
    "By how much the last look at the clock came too late: what held the event loop up.",
    merge="max",
)

REQUESTS: Final = counter(
    "monohull_http_requests_total", "Requests by method, route and status.", "method", "route", "status"
)
REQUEST_SECONDS: Final = histogram(
    "monohull_http_request_duration_seconds",
    "Time from the request's first byte to the answer's last.",
    "method",
    "route",
)
REQUEST_FAILURES: Final = counter(
    "monohull_http_request_failures_total", "Requests that met a defect (500).", "route"
)
REQUESTS_IN_FLIGHT: Final = process_gauge("monohull_requests_in_flight", "Requests being answered.")
REFUSALS: Final = counter(
    "monohull_rate_limit_refusals_total", "Requests that a rate limit refused, by the limit's name.", "limit"
)

DEPENDENCY_LOST: Final = counter("monohull_dependency_lost_total", "Times a dependency went away.", "name")
DEPENDENCY_BACK: Final = counter("monohull_dependency_back_total", "Times a dependency came back.", "name")
HEALTH_CHECK: Final = gauge(
    "monohull_health_check_ok", "1 where a check of /health/ready holds, 0 where not.", "check"
)

POOL_IN_USE: Final = process_gauge("monohull_database_pool_in_use", "Data connections in use.")
POOL_WAITING: Final = process_gauge("monohull_database_pool_waiting", "Requests that wait for one.")
POOL_SIZE: Final = process_gauge("monohull_database_pool_size", "Data connections allowed.")
POOL_EXPIRED: Final = counter(
    "monohull_database_pool_wait_expired_total", "Requests that gave up waiting for a data connection."
)
SERVER_CONNECTIONS: Final = gauge(
    "monohull_database_server_connections", "Connections of everybody to the PostgreSQL server."
)
SERVER_MAX_CONNECTIONS: Final = gauge(
    "monohull_database_server_max_connections", "Connections that the server allows (max_connections)."
)
DEADLOCKS: Final = counter("monohull_database_deadlocks_total", "Deadlocks in this database.")
ROLLBACKS: Final = counter("monohull_database_rollbacks_total", "Transactions that were rolled back.")
COMMITS: Final = counter("monohull_database_commits_total", "Transactions that were committed.")
BLOCKS_READ: Final = counter(
    "monohull_database_blocks_read_total", "Blocks that were not in the server's shared memory."
)
BLOCKS_HIT: Final = counter("monohull_database_blocks_hit_total", "Blocks that were.")

REDIS_PING: Final = gauge("monohull_redis_ping_seconds", "Time of one PING, while it is scraped.")
REDIS_COMMANDS: Final = counter(
    "monohull_redis_commands_total", "Commands that Redis carried out, for everybody."
)
REDIS_COMMAND_SECONDS: Final = counter(
    "monohull_redis_command_duration_seconds_total", "Time that Redis needed for them."
)
REDIS_MEMORY: Final = gauge("monohull_redis_memory_bytes", "Memory that Redis uses.")
REDIS_MAX_MEMORY: Final = gauge(
    "monohull_redis_max_memory_bytes", "What it may use (maxmemory); 0 is without bounds."
)
REDIS_CLIENTS: Final = gauge("monohull_redis_clients", "Connections to Redis.")
REDIS_EVICTED: Final = counter("monohull_redis_evicted_keys_total", "Keys that Redis dropped for space.")

WORKERS: Final = gauge("monohull_workers", "Workers that said they live within the last seconds.")
QUEUE_DEPTH: Final = gauge("monohull_queue_depth", "Jobs that wait in Redis.")
JOB_ATTEMPTS: Final = counter(
    "monohull_job_attempts_total", "Attempts by job and how they ended.", "job_name", "outcome"
)
JOB_SECONDS: Final = histogram("monohull_job_duration_seconds", "Time a successful attempt took.", "job_name")
JOBS_RETURNED: Final = counter("monohull_jobs_returned_total", "Jobs taken back from dead workers.", "queue")
JOBS_SENT_AGAIN: Final = counter("monohull_jobs_sent_again_total", "Jobs that Redis had lost.")

OUTBOX_LAG: Final = gauge(
    "monohull_outbox_lag_seconds", "Age of the oldest event or job that was not relayed yet."
)
EVENTS_RELAYED: Final = counter("monohull_events_relayed_total", "Events that were numbered and handed on.")
FEED_EVENTS_READ: Final = counter(
    "monohull_feed_events_read_total", "Events that readers of the feed took.", "reader"
)
FEED_UNREAD_DELETED: Final = counter(
    "monohull_feed_unread_events_deleted_total", "Events deleted before all had read them."
)
FEED_LAG_EVENTS: Final = gauge(
    "monohull_feed_reader_lag_events", "Events that a reader of the feed has still to pass.", "reader"
)
FEED_LAG_SECONDS: Final = gauge(
    "monohull_feed_reader_lag_seconds", "How long ago the first of them was relayed.", "reader"
)

SPANS_EXPORTED: Final = counter(
    "monohull_trace_spans_exported_total", "Spans that the collector took.", PROCESS
)
SPANS_DROPPED: Final = counter(
    "monohull_trace_spans_dropped_total",
    "Spans that it will never see: there was no room, it refused them, or the process stopped.",
    "reason",
)
SPANS_WAITING: Final = process_gauge("monohull_trace_spans_waiting", "Spans that wait for the collector.")

GRANTS_REMEMBERED: Final = process_gauge(
    "monohull_grants_remembered", "Principals whose permissions are known."
)
GRANTS_LOOKUPS: Final = counter("monohull_grants_lookups_total", "Times they had to be asked for.", PROCESS)
GRANTS_EPOCHS: Final = counter("monohull_grants_epochs_total", "Times they may have changed.", PROCESS)

CORE_METRICS: Final = (
    BUILD_INFO,
    RESIDENT_MEMORY,
    CPU_SECONDS,
    OPEN_FILES,
    START_TIME,
    LOOP_LAG,
    REQUESTS,
    REQUEST_SECONDS,
    REQUEST_FAILURES,
    REQUESTS_IN_FLIGHT,
    REFUSALS,
    DEPENDENCY_LOST,
    DEPENDENCY_BACK,
    HEALTH_CHECK,
    POOL_IN_USE,
    POOL_WAITING,
    POOL_SIZE,
    POOL_EXPIRED,
    SERVER_CONNECTIONS,
    SERVER_MAX_CONNECTIONS,
    DEADLOCKS,
    ROLLBACKS,
    COMMITS,
    BLOCKS_READ,
    BLOCKS_HIT,
    REDIS_PING,
    REDIS_COMMANDS,
    REDIS_COMMAND_SECONDS,
    REDIS_MEMORY,
    REDIS_MAX_MEMORY,
    REDIS_CLIENTS,
    REDIS_EVICTED,
    WORKERS,
    QUEUE_DEPTH,
    JOB_ATTEMPTS,
    JOB_SECONDS,
    JOBS_RETURNED,
    JOBS_SENT_AGAIN,
    OUTBOX_LAG,
    EVENTS_RELAYED,
    FEED_EVENTS_READ,
    FEED_UNREAD_DELETED,
    FEED_LAG_EVENTS,
    FEED_LAG_SECONDS,
    SPANS_EXPORTED,
    SPANS_DROPPED,
    SPANS_WAITING,
    GRANTS_REMEMBERED,
    GRANTS_LOOKUPS,
    GRANTS_EPOCHS,
)
