"""What every request gets, whichever room answers it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from monohull.kernel.app import Application, build_app
from monohull.kernel.configuration import load
from monohull.kernel.errors import (
    ClientGone,
    Conflict,
    RateLimited,
    Rendered,
)
from monohull.kernel.home import Connections
from monohull.kernel.module import Module, Parts
from monohull.kernel.observation import AnswerBroken, Observation, RequestFailed, RequestFinished
from monohull.kernel.principal import Principal, PrincipalKind
from monohull.kernel.runtime import Runtime
from monohull.kernel.settings import Secret
from tests.application import JWT_SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.asgi import Message, Receive, Scope, Send
    from monohull.kernel.authentication import Credentials
    from monohull.kernel.errors import Problem

NOWHERE = Connections(
    Secret("postgresql://nobody@127.0.0.1:1/x"),
    Secret("postgresql://nobody@127.0.0.1:1/x"),
    Secret("redis://127.0.0.1:1"),
)


LATE = {
    "/late-defect": ZeroDivisionError(),
    "/late-problem": Conflict("taken"),
    "/late-leave": ClientGone("left"),
}
"""What a path raises when its answer has begun."""


class Refuses:
    """Knows every credential and accepts none but ``good``."""

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        if credentials.apikey == "spent":
            raise RateLimited("Too many requests.")
        return None if credentials.apikey != "good" else Principal(kind=PrincipalKind.KEY, role="anon")

    def standing(self, credentials: Credentials) -> None:
        del credentials


async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
    """A raw ASGI room with one behaviour a path."""
    action = scope["path"].removeprefix("/raw")
    if action == "/problem":
        raise Conflict("taken", hint="take another")
    if action == "/defect":
        raise ZeroDivisionError("a detail that must stay inside")
    if action in LATE:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise LATE[action]
    if action == "/body":
        while (await receive()).get("more_body"):
            pass
    scope["state"]["route"] = "/raw/{action}"
    body = msgspec.json.encode({"principal": scope["state"].get("principal")}, enc_hook=str)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-raw", b"1")]})
    await send({"type": "http.response.body", "body": body})


def shout(problem: Problem, _: Scope) -> Rendered:
    return Rendered(problem.status, {}, problem.code.upper().encode(), "text/plain")


def build(**settings: str) -> Application:
    environ = {"MONOHULL_ENV": "test", "MONOHULL_JWT_SECRET": JWT_SECRET}
    environ |= {f"MONOHULL_{name.upper()}": value for name, value in settings.items()}
    loaded = load(environ, project=Path("/nowhere"), builtin=["modules.platform"])
    runtime = Runtime(loaded.settings, loaded.modules, NOWHERE, process="api")
    raw = Module(
        name="raw",
        parts=lambda _: Parts(
            mounts={"/raw": mounted}, renderers={"/raw/problem": shout}, authenticators=[Refuses()]
        ),
    )
    app = build_app(runtime, [*loaded.modules, raw])
    runtime.schema.state = "current"
    return app


@pytest.fixture
def app() -> Application:
    return build()


@pytest.fixture
def seen(app: Application) -> list[Observation]:
    found: list[Observation] = []
    app.runtime.observer._readers = ((found.append, ()),)
    return found


def client_of(app: Application) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


@pytest.fixture
async def client(app: Application) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


async def test_every_answer_carries_the_request_id(
    client: httpx.AsyncClient, seen: list[Observation]
) -> None:
    for path in ("/raw/x", "/raw/problem", "/raw/defect", "/nowhere", "/health/live"):
        response = await client.get(path, headers={"X-Request-Id": "r-1"})
        assert response.headers["x-request-id"] == "r-1", path
        assert response.headers["traceparent"].startswith("00-"), path
        assert response.headers["x-content-type-options"] == "nosniff", path
    assert [o.request_id for o in seen if isinstance(o, RequestFinished)] == ["r-1"] * 5


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({"public_url": "https://api.example.com"}, "max-age=31536000"),
        ({"public_url": "http://api.example.com"}, None),
        ({}, None),
        ({"public_url": "https://api.example.com", "strict_transport_security": ""}, None),
        (
            {
                "public_url": "https://api.example.com",
                "strict_transport_security": "max-age=63072000; includeSubDomains",
            },
            "max-age=63072000; includeSubDomains",
        ),
    ],
)
async def test_strict_transport_security_where_the_public_address_is_https(
    settings: dict[str, str], value: str | None
) -> None:
    preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    async with client_of(build(**settings)) as client:
        for path in ("/raw/x", "/raw/problem", "/raw/defect", "/nowhere", "/health/live"):
            assert (await client.get(path)).headers.get("strict-transport-security") == value, path
        answer = await client.options("/raw/x", headers=preflight)
        assert answer.headers.get("strict-transport-security") == value


async def test_one_observation_a_request(client: httpx.AsyncClient, seen: list[Observation]) -> None:
    await client.get("/raw/some-id?token=secret")
    (finished,) = seen
    assert isinstance(finished, RequestFinished)
    assert (finished.method, finished.route, finished.status) == ("GET", "/raw/{action}", 200)
    assert finished.principal == "anonymous"
    assert finished.response_bytes > 0
    assert "secret" not in repr(finished)


@pytest.mark.parametrize(
    ("path", "route"),
    [("/health/live", "/health/live"), ("/nowhere", "unmatched"), ("/docs/assets/x", "/docs/assets/{name}")],
)
async def test_the_route_is_the_template(
    client: httpx.AsyncClient, seen: list[Observation], path: str, route: str
) -> None:
    await client.get(path)
    assert [o.route for o in seen if isinstance(o, RequestFinished)] == [route]


async def test_a_problem_is_rendered_by_the_wire_it_belongs_to(client: httpx.AsyncClient) -> None:
    response = await client.get("/raw/problem")
    assert (response.status_code, response.text) == (409, "CONFLICT")


async def test_a_defect_says_nothing_outside_and_everything_inside(
    client: httpx.AsyncClient, seen: list[Observation]
) -> None:
    response = await client.get("/raw/defect")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "detail that must stay inside" not in response.text
    assert response.json()["request_id"] == response.headers["x-request-id"]
    (failed,) = (o for o in seen if isinstance(o, RequestFailed))
    assert "a detail that must stay inside" in failed.error
    assert "mounted" in failed.stack


async def begin(app: Application, path: str) -> list[Message]:
    """Ask as a server does, and return what was sent."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
    await app({**scope, "headers": [], "client": ("127.0.0.1", 1)}, receive, send)
    return sent


@pytest.mark.parametrize(
    ("path", "told"),
    [("/raw/late-defect", RequestFailed), ("/raw/late-problem", AnswerBroken), ("/raw/late-leave", None)],
)
async def test_what_fails_after_the_first_byte_has_no_end(
    app: Application, seen: list[Observation], path: str, told: type[Observation] | None
) -> None:
    """The server breaks the connection then, and says nothing about it: nothing was raised."""
    (start,) = await begin(app, path)
    assert (start["type"], start["status"]) == ("http.response.start", 200)
    assert [type(o) for o in seen] == [*([] if told is None else [told]), RequestFinished]


async def test_an_answer_that_broke_is_told_of_with_its_reason(
    app: Application, seen: list[Observation]
) -> None:
    await begin(app, "/raw/late-problem")
    (broken,) = (o for o in seen if isinstance(o, AnswerBroken))
    assert (broken.route, broken.code, broken.reason) == ("/raw/", "conflict", "taken")
    assert broken.level == "warning"


async def test_unknown_address(client: httpx.AsyncClient) -> None:
    response = await client.get("/nowhere")
    assert response.status_code == 404
    assert response.json() | {"request_id": ""} == {
        "type": "urn:monohull:problem:not_found",
        "title": "Not Found",
        "status": 404,
        "code": "not_found",
        "detail": "Nothing lives at this address.",
        "instance": "/nowhere",
        "request_id": "",
    }


async def test_wrong_method(client: httpx.AsyncClient) -> None:
    response = await client.post("/health/live")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert "GET" in response.headers["allow"]


async def test_preflight(client: httpx.AsyncClient) -> None:
    headers = {"Origin": "https://a.test", "Access-Control-Request-Method": "PATCH"}
    response = await client.options("/rest/v1/anything", headers=headers)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == "*"
    assert "PATCH" in response.headers["access-control-allow-methods"]


async def test_cross_origin_headers_are_on_refusals_too(client: httpx.AsyncClient) -> None:
    response = await client.get("/raw/problem", headers={"Origin": "https://a.test"})
    assert response.headers["access-control-allow-origin"] == "*"


async def test_bad_credentials_do_not_matter_to_public_routes(client: httpx.AsyncClient) -> None:
    response = await client.get("/health/live", headers={"apikey": "bad"})
    assert response.status_code == 200


async def test_and_are_refused_where_somebody_asks_who_is_there(client: httpx.AsyncClient) -> None:
    for path in ("/platform/v1/status", "/platform/v1/whoami"):
        response = await client.get(path, headers={"apikey": "bad"})
        assert (response.status_code, response.json()["code"]) == (401, "invalid_credential"), path
        assert "invalid_token" in response.headers["www-authenticate"]


async def test_a_guard_tells_nobody_from_somebody(client: httpx.AsyncClient) -> None:
    nobody = await client.get("/platform/v1/status")
    assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthenticated")
    somebody = await client.get("/platform/v1/status", headers={"apikey": "good"})
    assert (somebody.status_code, somebody.json()["code"]) == (403, "forbidden")


async def test_draining_refuses_with_retry_after_and_still_tells_its_health(
    app: Application, client: httpx.AsyncClient
) -> None:
    app.runtime.lifecycle.is_draining = True
    response = await client.get("/raw/x")
    assert (response.status_code, response.json()["code"]) == (503, "draining")
    assert response.headers["retry-after"] == "1"
    assert (await client.get("/health/live")).status_code == 200


async def test_a_schema_that_does_not_fit_refuses(app: Application, client: httpx.AsyncClient) -> None:
    app.runtime.schema.state = "newer"
    response = await client.get("/raw/x")
    assert (response.status_code, response.json()["code"]) == (503, "schema_outdated")
    assert "newer version" in response.json()["detail"]
    assert (await client.get("/health/live")).status_code == 200


async def test_body_limits() -> None:
    app = build(body_limit_bytes="1024")
    async with client_of(app) as client:
        assert (await client.post("/raw/body", content=b"x" * 1024)).status_code == 200
        announced = await client.post("/raw/body", content=b"x" * 1025)
        assert (announced.status_code, announced.json()["code"]) == (413, "body_too_large")

        async def chunks(count: int) -> AsyncIterator[bytes]:
            for _ in range(count):
                yield b"x" * 256

        assert (await client.post("/raw/body", content=chunks(4))).status_code == 200
        chunked = await client.post("/raw/body", content=chunks(5))
        assert (chunked.status_code, chunked.json()["code"]) == (413, "body_too_large")


async def test_a_content_length_that_is_no_number(app: Application) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/raw/x",
        "headers": [(b"content-length", b"-1")],
        "query_string": b"",
        "client": None,
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == 400


async def test_head_sends_no_body(client: httpx.AsyncClient) -> None:
    response = await client.request("HEAD", "/raw/problem")
    assert (response.status_code, response.content) == (409, b"")


async def test_a_credential_may_be_refused_for_what_it_did(client: httpx.AsyncClient) -> None:
    refused = await client.get("/raw/x", headers={"apikey": "spent"})
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")


async def test_a_websocket_with_such_a_credential_is_closed(app: Application) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {"type": "websocket", "path": "/raw/x", "query_string": b"apikey=spent", "headers": []}
    await app(scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]
