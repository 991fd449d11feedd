"""Every refusal of the OAuth server, as applications, users and administrators see it: one row, one test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio

from monohull.kernel import ids
from tests.application import anon_key, running_app
from tests.integration.auth.applications import ADMIN, CALLBACK, ISSUER, OAUTH, App, Applications, split
from tests.integration.auth.people import V2, Person

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections
    from tests.application import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY: Final = "00000000-0000-0000-0000-000000000000"
VERIFIER: Final = "v" * 43


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def apps(shared_connections: Connections) -> AsyncIterator[Applications]:
    async with running_app(shared_connections, **OAUTH) as served:
        yield Applications(served)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(apps: Applications) -> App:
    return await apps.register(scope="openid email")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def person(apps: Applications) -> Person:
    return await apps.sign_up()


def metadata(**body: Any) -> dict[str, Any]:
    return {"client_name": "Shop", "redirect_uris": [CALLBACK], **body}


CLIENTS: Final = [
    ({"redirect_uris": [CALLBACK]}, "client_name is required"),
    (metadata(client_name=" "), "client_name is required"),
    (metadata(client_name="x" * 1025), "client_name must have at most 1024"),
    (metadata(client_name="a\0b"), "client_name must have at most 1024 characters and no U+0000"),
    ({"client_name": "x"}, "redirect_uris is required"),
    (metadata(redirect_uris=[]), "redirect_uris is required"),
    (
        metadata(redirect_uris=[f"https://a.example/{n}" for n in range(11)]),
        "redirect_uris must have at most",
    ),
    *(
        (metadata(redirect_uris=[uri]), "redirect_uris must")
        for uri in (
            "",
            "/callback",
            "http://shop.example.net/cb",
            "http://127.0.0.1.example.net/cb",
            "https://",
            "https://shop.example.net/cb#fragment",
            "https://shop.example.net/cb#",
            "https://user@shop.example.net/cb",
            "https://shop.example.net/a,https://evil.example/",
            "https://shop.example.net/a b",
            "https://shop.example.net/\n",
            "https://shop.example.net\\@evil.example/",
            "https://[::1/cb",
            "https://shop.example.net:99999/cb",
            "https://shöp.example/cb",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://a.example/" + "x" * 2048,
        )
    ),
    (metadata(grant_types=["password"]), "grant_types must be among"),
    (metadata(response_types=["token"]), "response_types must be code"),
    (metadata(scope="admin"), "scope must be among"),
    (metadata(client_uri="javascript:alert(1)"), "client_uri must be"),
    (metadata(client_uri="https://[x"), "client_uri must be"),
    (metadata(logo_uri="ftp://x.example/a.png"), "logo_uri must be"),
    (metadata(token_endpoint_auth_method="private_key_jwt"), "token_endpoint_auth_method must be one of"),
    (metadata(client_type="secret"), "client_type must be public or confidential"),
    (
        metadata(client_type="public", token_endpoint_auth_method="client_secret_post"),
        "token_endpoint_auth_method does not fit",
    ),
]


@pytest.mark.parametrize(("body", "message"), CLIENTS, ids=range(len(CLIENTS)))
async def test_client_metadata(apps: Applications, body: dict[str, Any], message: str) -> None:
    answer = await apps.client.post("/auth/v1/admin/oauth/clients", json=body, headers=ADMIN)
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
    assert answer.json()["message"].startswith(message)
    own = await apps.client.post("/auth/v1/oauth/clients/register", json=body)
    code = "invalid_redirect_uri" if message.startswith("redirect_uris") else "invalid_client_metadata"
    assert own.status_code == 400
    assert own.json() == {"error": code, "error_description": answer.json()["message"]}


ADMIN_ROWS: Final[list[tuple[str, str, Any, int, str]]] = [
    ("GET", f"/{NOBODY}", None, 404, "oauth_client_not_found"),
    ("PUT", f"/{NOBODY}", {"client_name": "x"}, 404, "oauth_client_not_found"),
    ("DELETE", f"/{NOBODY}", None, 404, "oauth_client_not_found"),
    ("POST", f"/{NOBODY}/regenerate_secret", None, 404, "oauth_client_not_found"),
    ("GET", "/nonsense", None, 400, "validation_failed"),
    ("PUT", "/nonsense", {"client_name": "x"}, 400, "validation_failed"),
    ("DELETE", "/nonsense", None, 400, "validation_failed"),
    ("POST", "/nonsense/regenerate_secret", None, 400, "validation_failed"),
    ("PUT", "/{id}", {}, 400, "validation_failed"),
    ("PUT", "/{id}", {"redirect_uris": ["http://evil.example/"]}, 400, "validation_failed"),
    ("PUT", "/{id}", {"redirect_uris": []}, 400, "validation_failed"),
    ("PUT", "/{id}", {"client_name": ""}, 400, "validation_failed"),
    ("PUT", "/{id}", {"client_name": None}, 400, "bad_json"),
    ("PUT", "/{id}", {"token_endpoint_auth_method": "none"}, 400, "validation_failed"),
    ("PUT", "/{id}", [], 400, "bad_json"),
    ("POST", "", None, 400, "bad_json"),
    ("POST", "", {"client_name": 7}, 400, "bad_json"),
    ("GET", "?page=0", None, 400, "validation_failed"),
    ("GET", "?per_page=x", None, 400, "validation_failed"),
]


@pytest.mark.parametrize("row", ADMIN_ROWS, ids=range(len(ADMIN_ROWS)))
async def test_administration(apps: Applications, app: App, row: tuple[str, str, Any, int, str]) -> None:
    method, path, body, status, code = row
    url = "/auth/v1/admin/oauth/clients" + path.format(id=app.id)
    answer = await apps.client.request(method, url, json=body, headers=ADMIN)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


async def test_public_clients_have_no_secret_to_renew(apps: Applications) -> None:
    public = await apps.register(client_type="public")
    url = f"/auth/v1/admin/oauth/clients/{public.id}/regenerate_secret"
    answer = await apps.client.post(url, headers=ADMIN)
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")


ADMIN_ROUTES: Final = [
    ("GET", ""),
    ("POST", ""),
    ("GET", f"/{NOBODY}"),
    ("PUT", f"/{NOBODY}"),
    ("DELETE", f"/{NOBODY}"),
    ("POST", f"/{NOBODY}/regenerate_secret"),
]


@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES)
async def test_only_administrators(apps: Applications, person: Person, method: str, path: str) -> None:
    url = f"/auth/v1/admin/oauth/clients{path}"
    for headers, refusal in (
        ({}, (401, "no_authorization")),
        ({"apikey": anon_key()}, (401, "no_authorization")),
        ({"Authorization": f"Bearer {anon_key()}"}, (403, "not_admin")),
        (person.bearer, (403, "not_admin")),
        ({"Authorization": "Bearer x.y.z"}, (403, "bad_jwt")),
    ):
        answer = await apps.client.request(method, url, json={}, headers={**V2, **headers})
        assert (answer.status_code, answer.json()["code"]) == refusal


USER_ROUTES: Final = [
    ("GET", "/oauth/authorizations/x"),
    ("POST", "/oauth/authorizations/x/consent"),
    ("GET", "/oauth/userinfo"),
    ("POST", "/oauth/userinfo"),
    ("GET", "/user/oauth/grants"),
    ("DELETE", f"/user/oauth/grants?client_id={NOBODY}"),
]


@pytest.mark.parametrize(("method", "path"), USER_ROUTES)
async def test_only_users(apps: Applications, method: str, path: str) -> None:
    for headers, refusal in (
        ({}, (401, "no_authorization")),
        ({"Authorization": "Basic eDp5"}, (401, "no_authorization")),
        ({"Authorization": f"Bearer {anon_key()}"}, (403, "bad_jwt")),
        (ADMIN, (403, "bad_jwt")),
        ({"Authorization": "Bearer x.y.z"}, (403, "bad_jwt")),
    ):
        answer = await apps.client.request(method, f"/auth/v1{path}", json={}, headers={**V2, **headers})
        assert (answer.status_code, answer.json()["code"]) == refusal


USER_ROWS: Final = [
    ("GET", "/oauth/authorizations/unknown", None, 404, "oauth_authorization_not_found"),
    ("GET", "/oauth/authorizations/%00", None, 404, "oauth_authorization_not_found"),
    (
        "POST",
        "/oauth/authorizations/unknown/consent",
        {"action": "approve"},
        404,
        "oauth_authorization_not_found",
    ),
    ("POST", "/oauth/authorizations/unknown/consent", {"action": "perhaps"}, 400, "validation_failed"),
    ("POST", "/oauth/authorizations/unknown/consent", {}, 400, "validation_failed"),
    ("POST", "/oauth/authorizations/unknown/consent", {"action": 7}, 400, "bad_json"),
    ("POST", "/oauth/authorizations/unknown/consent", None, 400, "bad_json"),
    ("DELETE", "/user/oauth/grants", None, 400, "validation_failed"),
    ("DELETE", "/user/oauth/grants?client_id=x", None, 400, "validation_failed"),
    ("DELETE", f"/user/oauth/grants?client_id={NOBODY}", None, 404, "oauth_consent_not_found"),
]


@pytest.mark.parametrize("row", USER_ROWS, ids=range(len(USER_ROWS)))
async def test_users(apps: Applications, person: Person, row: tuple[str, str, Any, int, str]) -> None:
    method, path, body, status, code = row
    answer = await apps.client.request(method, f"/auth/v1{path}", json=body, headers=person.bearer)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"client_id": None}, "validation_failed"),
        ({"client_id": "x"}, "oauth_client_not_found"),
        ({"client_id": NOBODY}, "oauth_client_not_found"),
        ({"redirect_uri": None}, "validation_failed"),
        ({"redirect_uri": "https://shop.example.net/callback"}, "validation_failed"),
        ({"redirect_uri": f"{CALLBACK}&x=1"}, "validation_failed"),
        ({"redirect_uri": CALLBACK.upper()}, "validation_failed"),
        ({"redirect_uri": "https://evil.example/"}, "validation_failed"),
    ],
    ids=str,
)
async def test_nobody_is_sent_to_an_unknown_address(
    apps: Applications, app: App, more: dict[str, str | None], code: str
) -> None:
    answer = await apps.authorize(app, VERIFIER, **more)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": "é" * 43}, "invalid_request"),
        ({"scope": "openid admin"}, "invalid_scope"),
        ({"scope": "profile"}, "invalid_scope"),
        ({"nonce": "n" * 256}, "invalid_request"),
        ({"state": "s" * 4097}, "invalid_request"),
        ({"resource": "not absolute"}, "invalid_target"),
        ({"resource": "https://api.example/#x"}, "invalid_target"),
        ({"resource": "https://[x"}, "invalid_target"),
        ({"prompt": "none"}, "interaction_required"),
        ({"max_age": "1"}, "invalid_request"),
        ({"request": "x.y.z"}, "request_not_supported"),
        ({"request_uri": "https://evil.example/"}, "request_uri_not_supported"),
    ],
    ids=str,
)
async def test_applications_are_told(
    apps: Applications, app: App, more: dict[str, str | None], error: str
) -> None:
    answer = await apps.authorize(app, VERIFIER, **more)
    assert answer.status_code == 302, answer.text
    target, query = split(answer.headers["location"])
    assert target == "https://shop.example.net/callback"
    assert (query["from"], query["error"], query["iss"]) == ("monohull", error, ISSUER)
    assert query["error_description"]
    assert query["state"] == more.get("state", "a state & more")


@pytest.mark.parametrize(
    "query", ["client_id=a&client_id=b", "&".join(f"p{n}=1" for n in range(51)), "state=%00"], ids=range(3)
)
async def test_parameters_come_once(apps: Applications, query: str) -> None:
    answer = await apps.client.get(f"/auth/v1/oauth/authorize?{query}")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_client_for_refreshing_alone(apps: Applications) -> None:
    app = await apps.register(grant_types=["refresh_token"])
    answer = await apps.authorize(app, VERIFIER)
    assert split(answer.headers["location"])[1]["error"] == "unauthorized_client"
    refused = await apps.exchange(app, "x", VERIFIER)
    assert refused.json()["error"] == "unauthorized_client"


CODE_GRANT: Final = {
    "grant_type": "authorization_code",
    "code": "{code}",
    "code_verifier": VERIFIER,
    "redirect_uri": CALLBACK,
}
REFRESH_GRANT: Final = {"grant_type": "refresh_token", "refresh_token": "x"}
WRONG: Final = [
    ({}, "invalid_request"),
    ({"grant_type": "password"}, "unsupported_grant_type"),
    ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
    ({**CODE_GRANT, "code": ""}, "invalid_request"),
    ({**CODE_GRANT, "code_verifier": ""}, "invalid_request"),
    ({**CODE_GRANT, "redirect_uri": ""}, "invalid_request"),
    ({**CODE_GRANT, "code": "unknown"}, "invalid_grant"),
    ({**CODE_GRANT, "code": "a\0b"}, "invalid_request"),
    ({**CODE_GRANT, "code_verifier": "w" * 43}, "invalid_grant"),
    ({**CODE_GRANT, "redirect_uri": "https://evil.example/"}, "invalid_grant"),
    ({**CODE_GRANT, "resource": "https://other.example/"}, "invalid_target"),
    ({"grant_type": "refresh_token"}, "invalid_request"),
    (REFRESH_GRANT, "invalid_grant"),
]


@pytest.mark.parametrize(("form", "error"), WRONG, ids=range(len(WRONG)))
async def test_token_endpoint(apps: Applications, person: Person, form: dict[str, str], error: str) -> None:
    app = await apps.register()
    code = await apps.code(app, person, VERIFIER)
    given = {name: value.replace("{code}", code) for name, value in form.items()}
    for content in ({"data": given}, {"json": given}):
        answer = await apps.client.post("/auth/v1/oauth/token", headers=app.basic, **content)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["error"]) == (400, error), answer.text
        assert answer.headers["cache-control"] == "no-store"
    if error != "unsupported_grant_type":  # a refusal spends no code
        assert (await apps.exchange(app, code, VERIFIER)).status_code == 200


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"{", "application/json"),
        (b'{"grant_type": 7}', "application/json; charset=utf-8"),
        (b"[" * 100_000, "application/json"),
        (b"\xff", "application/x-www-form-urlencoded"),
        (b"grant_type=a&grant_type=b", "application/x-www-form-urlencoded"),
        (b"", "text/plain"),
    ],
    ids=range(6),
)
async def test_bodies_that_cannot_be_read(
    apps: Applications, app: App, content: bytes, media_type: str
) -> None:
    for path in ("token", "revoke", "introspect"):
        answer = await apps.client.post(
            f"/auth/v1/oauth/{path}", content=content, headers={**app.basic, "content-type": media_type}
        )
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), answer.text


async def test_client_authentication(apps: Applications, app: App) -> None:
    other = await apps.register(token_endpoint_auth_method="client_secret_post")
    post = {"client_id": other.id, "client_secret": other.secret}
    refused = [
        ({}, {}),
        ({}, {"client_id": app.id}),
        ({}, {"client_id": app.id, "client_secret": app.secret}),
        ({}, {"client_id": NOBODY, "client_secret": app.secret}),
        ({}, {"client_id": "nonsense"}),
        ({}, {**post, "client_secret": app.secret}),
        (App({**app.view, "client_secret": "wrong"}).basic, {}),
        (App({**app.view, "client_secret": ""}).basic, {}),
        (other.basic, {}),
        ({"Authorization": "Basic !!!"}, {}),
        ({"Authorization": "Basic eA=="}, {}),
        ({"Authorization": "Basic /////w=="}, {}),
    ]
    for path in ("token", "revoke", "introspect"):
        for headers, form in refused:
            answer = await apps.client.post(
                f"/auth/v1/oauth/{path}", data={**REFRESH_GRANT, "token": "x", **form}, headers=headers
            )
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), (headers, form)
            assert answer.headers["www-authenticate"] == 'Basic realm="oauth"'
        twice = await apps.client.post(
            f"/auth/v1/oauth/{path}", data={**REFRESH_GRANT, **post}, headers=app.basic
        )
        assert (twice.status_code, twice.json()["error"]) == (400, "invalid_request")
    right = await apps.token(None, **REFRESH_GRANT, **post)
    assert right.json()["error"] == "invalid_grant"


async def test_scopes_cannot_be_changed_by_a_refresh(apps: Applications, person: Person, app: App) -> None:
    tokens = await apps.signed_in_at(app, person)
    answer = await apps.token(
        app.basic, grant_type="refresh_token", refresh_token=tokens["refresh_token"], scope="openid profile"
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


async def test_the_resource_is_the_one_that_was_asked_for(apps: Applications, person: Person) -> None:
    app, verifier, resource = await apps.register(), ids.token(), "https://api.example.net/mcp"
    code = await apps.code(app, person, verifier, resource=resource)
    other = await apps.exchange(app, code, verifier, resource="https://other.example/")
    assert other.json()["error"] == "invalid_target"
    assert (await apps.exchange(app, code, verifier, resource=resource)).status_code == 200


EVERY: Final = [
    *(("ADMIN", method, f"/admin/oauth/clients{path}") for method, path in ADMIN_ROUTES),
    *(("USER", method, path) for method, path in USER_ROUTES),
    ("", "GET", "/oauth/authorize"),
    ("", "POST", "/oauth/token"),
    ("", "POST", "/oauth/revoke"),
    ("", "POST", "/oauth/introspect"),
    ("", "POST", "/oauth/clients/register"),
    ("", "GET", "/.well-known/openid-configuration"),
    ("", "GET", "/.well-known/oauth-authorization-server"),
]


@pytest.mark.parametrize(("who", "method", "path"), EVERY)
async def test_all_of_it_is_off_by_default(shared: Served, who: str, method: str, path: str) -> None:
    people = Applications(shared)
    headers = ADMIN if who == "ADMIN" else (await people.sign_up()).bearer if who else V2
    answer = await people.client.request(method, f"/auth/v1{path}", json={}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "feature_disabled")


async def test_registration_has_a_switch_and_a_limit(shared_connections: Connections) -> None:
    settings = {**OAUTH, "auth_oauth_server_allow_dynamic_registration": "false"}
    async with running_app(shared_connections, **settings) as served:
        answer = await served.client.post("/auth/v1/oauth/clients/register", json=metadata(), headers=V2)
        assert (answer.status_code, answer.json()["code"]) == (
            403,
            "oauth_dynamic_client_registration_disabled",
        )
        found = (await served.client.get("/auth/v1/.well-known/oauth-authorization-server")).json()
        assert "registration_endpoint" not in found
    settings = {**OAUTH, "auth_rate_limit_oauth_dynamic_client_register": "2"}
    async with running_app(shared_connections, **settings) as served:
        statuses = [
            (await served.client.post("/auth/v1/oauth/clients/register", json=metadata())).status_code
            for _ in range(3)
        ]
    assert statuses == [201, 201, 429]


async def test_what_is_refused_has_a_limit(shared_connections: Connections) -> None:
    async with running_app(shared_connections, **OAUTH) as served:
        generous = Applications(served)
        person, app = await generous.sign_up(), await generous.register()
        public = await generous.register(client_type="public")
        tokens = await generous.signed_in_at(app, person)
        refresh = {"grant_type": "refresh_token"}
        code = await generous.code(public, person, VERIFIER)
    async with running_app(shared_connections, **{**OAUTH, "auth_rate_limit_token_refresh": "3"}) as served:
        apps = Applications(served)
        for _ in range(5):  # with a secret, and right
            tokens = (await apps.token(app.basic, **refresh, refresh_token=tokens["refresh_token"])).json()
            assert "access_token" in tokens
        form = {"code": code, "code_verifier": VERIFIER, "redirect_uri": CALLBACK, "client_id": public.id}
        answers = [
            await apps.token(None, grant_type="authorization_code", **form),  # without one, and right
            await apps.token(app.basic, **refresh, refresh_token="wrong"),
            await apps.token(None, **refresh, client_id=app.id),
            await apps.token(app.basic, **refresh, refresh_token=tokens["refresh_token"]),
            await apps.client.post("/auth/v1/oauth/revoke", data={"token": "x"}, headers=app.basic),
        ]
    assert [answer.status_code for answer in answers] == [200, 400, 401, 429, 429]
