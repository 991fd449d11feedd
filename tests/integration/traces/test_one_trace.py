"""One trace through real processes: request, statements, Redis, job, mail, hook, webhook and broker.

API, worker, PostgreSQL and Redis are what ``monohull up`` starts; the collector, the mail server and the
endpoint that gets the hook and the webhook are the test's.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shlex
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import httpx
import pytest
from aiosmtpd.controller import Controller

from monohull.kernel.redis_connection import close_redis, open_redis
from monohull.kernel.span import Kind
from tests.collector import Collector, Seen, collecting
from tests.integration.cli.serving import free_port
from tests.up import PATIENCE_SECONDS, PYTHON, Run, open_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

HERE: Final = Path(__file__).parent
COMMAND: Final = (PYTHON, "-P", "-m", "monohull")
PARENT_ID: Final = "b7ad6b7169203331"
SECRET: Final = f"v1,whsec_{base64.b64encode(b'0123456789abcdef0123456789abcdef').decode()}"
NOTED: Final = """
    create table public.noted (name text, shown text);
    create function public.note() returns trigger language plpgsql security definer as $$
    begin
        insert into public.noted
        select new.name, application_name from pg_stat_activity where pid = pg_backend_pid();
        return new;
    end $$;
    create trigger note after insert on monohull.jobs for each row execute function public.note();
"""
"""Writes down what ``pg_stat_activity`` shows at the moment at which a job is promised."""


class Asked:
    """A request that the endpoint got."""

    def __init__(self, path: str, headers: dict[str, str]) -> None:
        self.path, self.headers = path, headers


@contextmanager
def endpoint() -> Iterator[tuple[str, list[Asked]]]:
    """An endpoint that has no objections."""
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            asked.append(Asked(self.path, {name.lower(): value for name, value in self.headers.items()}))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Inbox:
    """Takes every mail."""

    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 aiosmtpd's
        del server, session
        self.mails.append(envelope)
        return "250 OK"


class Product:
    """What runs, and how it is asked."""

    def __init__(self, run: Run, collector: Collector, url: str, asked: list[Asked], inbox: Inbox) -> None:
        self.run, self.collector, self.endpoint = run, collector, url
        self.asked, self.inbox = asked, inbox
        command = [*COMMAND, "status", "--format", "env", "--home", str(run.home.path)]
        text = subprocess.run(command, capture_output=True, text=True, check=True, cwd=run.folder).stdout
        self.values = dict(part.split("=", 1) for line in text.splitlines() for part in shlex.split(line))
        key = self.values["SERVICE_KEY"]
        headers = {"apikey": key, "authorization": f"Bearer {key}"}
        self.client = httpx.Client(base_url=self.values["MONOHULL_URL"], headers=headers, timeout=30)

    def sql(self, query: str, *arguments: Any) -> list[Any]:
        async def ask() -> list[Any]:
            connection = await asyncpg.connect(self.values["DATABASE_URL"])
            try:
                return [dict(row) for row in await connection.fetch(query, *arguments)]
            finally:
                await connection.close()

        return asyncio.run(ask())

    def entries(self, stream: str) -> list[dict[str, str]]:
        async def read() -> list[dict[str, str]]:
            redis = open_redis(self.values["REDIS_URL"])
            found: Any = await redis.xrange(stream)
            await close_redis(redis)
            return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in found]

        return asyncio.run(read())

    def lines(self, trace_id: str) -> list[dict[str, Any]]:
        """Return the lines of the log that have this trace."""
        found = [
            line[line.index("{") :]
            for line in self.run.output.splitlines()
            if trace_id in line and "{" in line
        ]
        return [line for line in map(json.loads, found) if line.get("trace_id") == trace_id]

    def wait(self, holds: Callable[[], Any], complaint: str) -> Any:
        end = time.monotonic() + PATIENCE_SECONDS
        while not (found := holds()):
            assert time.monotonic() < end, f"{complaint}\n{self.run.output[-6000:]}"
            time.sleep(0.1)
        return found

    def spans(self, trace_id: str, *names: str) -> dict[str, Seen]:
        """Wait until these spans of a trace have come; return all, by name, the last of each."""
        self.collector.until(
            lambda: {span.name for span in self.collector.of(trace_id)} >= set(names), f"no {names}"
        )
        return {span.name: span for span in self.collector.of(trace_id)}


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    inbox, folder = Inbox(), open_folder()
    shutil.copytree(HERE / "project", folder, dirs_exist_ok=True)
    server = Controller(inbox, hostname="127.0.0.1", port=free_port())
    with collecting() as collector, endpoint() as (url, asked):
        server.start()
        environ = {
            "PYTHONPATH": str(HERE / "path"),
            "MONOHULL_MODULES": "shopping",
            "MONOHULL_LOG_FORMAT": "json",
            "MONOHULL_LOG_LEVEL": "debug",
            "MONOHULL_REST_EXPOSE": "grants",
            "MONOHULL_OTLP_ENDPOINT": collector.url,
            "MONOHULL_OUTBOUND_ALLOWED": "127.0.0.1",
            "MONOHULL_AUTH_MAILER_AUTOCONFIRM": "false",
            "MONOHULL_AUTH_SMTP_HOST": "127.0.0.1",
            "MONOHULL_AUTH_SMTP_PORT": str(server.port),
            "MONOHULL_AUTH_SMTP_TLS": "none",
            "MONOHULL_AUTH_SMTP_ADMIN_EMAIL": "no-reply@example.com",
            "MONOHULL_AUTH_HOOK_BEFORE_USER_CREATED_URI": f"{url}/hook",
            "MONOHULL_AUTH_HOOK_BEFORE_USER_CREATED_SECRETS": SECRET,
        }
        try:
            with Run(folder, [*COMMAND, "up", "--port", "0"], environ) as run:
                run.ready()
                product = Product(run, collector, url, asked, inbox)
                with product.client:
                    yield product
        finally:
            server.stop()
    shutil.rmtree(folder)


def traced(trace_id: str) -> dict[str, str]:
    return {"traceparent": f"00-{trace_id}-{PARENT_ID}-01", "tracestate": "shop=1"}


def orphans(product: Product, trace_id: str) -> list[str]:
    """Return the names of spans whose parent has not come."""
    found = product.collector.of(trace_id)
    known = {span.span_id for span in found} | {PARENT_ID}
    return [span.name for span in found if span.parent_id not in known]


def test_a_sign_up_with_a_mail_is_one_trace(product: Product) -> None:
    asyncio.run(execute(product, NOTED))
    webhook = {"name": "all", "url": f"{product.endpoint}/webhook", "events": ["auth.user_signed_up"]}
    answer = product.client.post("/platform/v1/webhooks/endpoints", json=webhook)
    assert answer.status_code == 201, answer.text
    target = {"redis_stream": {"url": product.values["REDIS_URL"], "stream": "signups"}}
    sink = {"name": "all", "target": target, "events": ["auth.user_signed_up"]}
    answer = product.client.post("/platform/v1/streams/sinks", json=sink)
    assert answer.status_code == 201, answer.text

    trace_id = "0af7651916cd43dd8448eb211c80319c"
    person = {"email": "ada@example.com", "password": "correct horse battery staple"}
    answer = product.client.post("/auth/v1/signup", json=person, headers=traced(trace_id))
    assert answer.status_code == 200, answer.text

    # the answer
    version, told, request_span, flags = answer.headers["traceparent"].split("-")
    assert (version, told, flags) == ("00", trace_id, "01")

    # the job ledger, and what pg_stat_activity showed when the job was promised
    (job,) = product.sql("select * from monohull.jobs where name = 'auth.send_mail'")
    assert job["traceparent"] == answer.headers["traceparent"]
    (noted,) = product.sql("select shown from public.noted where name = 'auth.send_mail'")
    assert noted["shown"] == f"monohull-api trace_id={trace_id}"

    # the mail, and the lines of both processes
    product.wait(lambda: product.inbox.mails, "no mail came")

    def logged() -> set[tuple[str, str]]:
        return {(line["process"], line["event"]) for line in product.lines(trace_id)}

    wanted = {("api", "http.request"), ("worker", "job.finished"), ("worker", "webhooks.attempted")}
    product.wait(lambda: logged() >= wanted, f"the log lacks {wanted}")

    # the tree
    names = (
        "POST /auth/v1/signup",
        "job auth.send_mail",
        "smtp send",
        "webhook POST",
        "send redis_stream",
        "POST",
    )
    spans = product.spans(trace_id, *names)
    request, mail_job = spans["POST /auth/v1/signup"], spans["job auth.send_mail"]
    assert (request.span_id, request.parent_id, request.kind) == (request_span, PARENT_ID, Kind.SERVER)
    assert (request.service, request.state) == ("monohull-api", "shop=1")
    assert (mail_job.parent_id, mail_job.kind, mail_job.service) == (
        request_span,
        Kind.CONSUMER,
        "monohull-worker",
    )
    assert mail_job.attributes["monohull.job.id"] == str(job["id"])
    assert spans["smtp send"].parent_id == mail_job.span_id
    assert spans["webhook POST"].parent_id == request_span
    assert spans["send redis_stream"].parent_id == request_span
    assert spans["POST"].parent_id == request_span, "the hook"

    every = product.collector.of(trace_id)
    databases = {(span.service, span.attributes.get("db.system.name")) for span in every}
    assert databases >= {
        ("monohull-api", "postgresql"),
        ("monohull-api", "redis"),
        ("monohull-worker", "postgresql"),
    }
    inserts = [
        span for span in every if "insert into monohull.jobs" in span.attributes.get("db.query.text", "")
    ]
    assert [span.parent_id for span in inserts] == [request_span]
    # a parent ends after its children
    product.collector.until(lambda: not orphans(product, trace_id), "nobody's children")
    assert all(span.began <= span.ended for span in every)

    # whoever was called was told which span called
    hook = next(one for one in product.asked if one.path == "/hook")
    assert hook.headers["traceparent"] == f"00-{trace_id}-{spans['POST'].span_id}-01"
    assert (hook.headers["tracestate"], hook.headers["x-request-id"]) == ("shop=1", trace_id)
    called = next(one for one in product.asked if one.path == "/webhook")
    assert called.headers["traceparent"] == f"00-{trace_id}-{spans['webhook POST'].span_id}-01"
    (entry,) = product.entries("signups")
    assert entry["traceparent"] == f"00-{trace_id}-{spans['send redis_stream'].span_id}-01"
    assert json.loads(entry["data"])["traceparent"] == answer.headers["traceparent"], (
        "the event is what it was"
    )


def test_a_job_that_sql_asked_for_belongs_to_the_request(product: Product) -> None:
    answer = product.client.post("/rest/v1/rpc/place_order", json={"number": 7})
    assert answer.status_code == 200, answer.text
    trace_id, request_span = answer.headers["traceparent"].split("-")[1:3]
    query = "select *, result::text as returned from monohull.jobs where id = $1"
    (job,) = product.wait(
        lambda: [row for row in product.sql(query, answer.json()) if row["outcome"] == "succeeded"],
        "the job does not run",
    )
    assert job["traceparent"] == answer.headers["traceparent"], "although the client has sent none"
    assert json.loads(job["returned"]) == f"monohull-worker trace_id={trace_id}"
    spans = product.spans(trace_id, "POST /rest/v1/{relation}", "job shopping.pack")
    assert spans["POST /rest/v1/{relation}"].parent_id == ""
    assert spans["job shopping.pack"].parent_id == request_span
    statement = next(
        span
        for span in product.collector.of(trace_id)
        if "place_order" in span.attributes.get("db.query.text", "")
    )
    assert (statement.parent_id, statement.kind) == (request_span, Kind.CLIENT)


def test_the_servers_log_names_the_trace(product: Product) -> None:
    trace_id = "1" * 32
    answer = product.client.post("/rest/v1/rpc/refuse", headers=traced(trace_id))
    assert answer.status_code >= 400
    relocated = product.run.home.path / "relocated"
    root = Path(relocated.read_text().strip()) if relocated.exists() else product.run.home.path
    logs = [path for folder in {root, product.run.home.path} for path in folder.rglob("*.log")]
    named = f"monohull-api trace_id={trace_id} ERROR:"
    product.wait(lambda: any(named in log.read_text() for log in logs), f"no {named} in {logs}")


async def execute(product: Product, statements: str) -> None:
    connection = await asyncpg.connect(product.values["DATABASE_URL"])
    try:
        await connection.execute(statements)
    finally:
        await connection.close()
