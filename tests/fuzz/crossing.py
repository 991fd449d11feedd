"""Requests that reach for what belongs to another tenant, each with places for ids.

A request is drawn once and sent twice: with the ids of the other tenant's things, and with
ids of nothing at all. Whoever tells the two answers apart knows that the thing exists.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from random import Random

COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "tenants": {"id": "tenant"},
    "memberships": {"tenant_id": "tenant", "user_id": "user"},
    "projects": {"id": "project", "tenant_id": "tenant"},
    "tasks": {"id": "task", "project_id": "project"},
    "comments": {"id": "comment", "task_id": "task", "author": "user"},
    "open_tasks": {"id": "task", "project_id": "project"},
}
SELECTS: Final[Mapping[str, Sequence[str]]] = {
    "tenants": ("*", "id,name", "*,projects(*,tasks(*))", "name,memberships(*)", "id,projects(count)"),
    "memberships": ("*", "*,tenants(*)", "note,tenants!inner(name,projects(name))", "...tenants(name)"),
    "projects": (
        "*",
        "*,label",
        "*,tasks(*,comments(*))",
        "name,tenants!inner(name)",
        "id,tasks(count)",
        "details->secret",
        "name,...tenants(owner:name)",
    ),
    "tasks": (
        "*",
        "*,projects(*)",
        "title,projects!inner(name,tenants!inner(name))",
        "*,comments(*)",
        "count()",
        "project_id,count()",
    ),
    "comments": ("*", "*,tasks(*,projects(*))", "body,tasks!inner(title)", "count()"),
    "open_tasks": ("*", "title,project", "*,projects(*)", "count()"),
}
WRITES: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {
    "tenants": ({"name": "taken"}, {"id": "{tenant}", "name": "taken"}),
    "memberships": (
        {"tenant_id": "{tenant}", "user_id": "{me}", "note": "let me in"},
        {"tenant_id": "{tenant}", "user_id": "{user}", "note": "out"},
    ),
    "projects": (
        {"tenant_id": "{tenant}", "name": "taken"},
        {"id": "{project}", "tenant_id": "{mine}", "name": "taken"},
        {"id": "{project}", "tenant_id": "{tenant}", "name": "taken"},
    ),
    "tasks": (
        {"project_id": "{project}", "title": "taken"},
        {"id": "{task}", "project_id": "{project}", "title": "taken"},
        {"title": "taken", "is_done": True},
    ),
    "comments": (
        {"task_id": "{task}", "body": "taken"},
        {"task_id": "{task}", "author": "{user}", "body": "taken"},
        {"id": "{comment}", "task_id": "{task}", "body": "taken"},
        {"body": "taken"},
    ),
    "open_tasks": ({"title": "taken"}, {"project_id": "{project}", "title": "taken"}),
}
CALLS: Final = (
    ("project_summary", {"project": "{project}"}),
    ("find_tasks", {"project": "{project}"}),
    ("rename_project", {"project": "{project}", "name": "taken"}),
    ("move_task", {"task": "{task}", "project": "{my_project}"}),
    ("move_task", {"task": "{my_task}", "project": "{project}"}),
    ("demand_project", {"project": "{project}"}),
)
ACCEPTS: Final = (
    "application/json",
    "application/vnd.pgrst.object+json",
    "text/csv",
    "application/vnd.pgrst.plan+json",
    "application/geo+json",
    "*/*",
)
PREFERENCES: Final = (
    "return=representation",
    "return=minimal",
    "return=headers-only",
    "count=exact",
    "count=planned",
    "count=estimated",
    "resolution=merge-duplicates",
    "resolution=ignore-duplicates",
    "missing=default",
    "handling=strict,max-affected=1",
    "tx=rollback",
)
BODIES: Final[Sequence[Mapping[str, Any]]] = (
    {"email": "{email}"},
    {"email": "{email}", "password": "not-the-password-1"},
    {"email": "{email}", "create_user": False},
    {"email": "{email}", "token": "123456", "type": "email"},
    {"type": "magiclink", "email": "{email}"},
    {"type": "signup", "email": "{email}"},
    {"type": "recovery", "email": "{email}", "token": "123456"},
    {"user_id": "{user}", "factor_id": "{factor}", "code": "123456", "challenge_id": "{challenge}"},
    {"challenge_id": "{challenge}", "code": "123456"},
    {"user_metadata": {"taken": True}},
    {"data": {"user_id": "{user}"}},
    {"friendly_name": "taken"},
    {"refresh_token": "{user}"},
    {"token_hash": "{user}", "type": "email"},
    {"name": "taken"},
    {},
)


class Crossing(Struct, frozen=True):
    """One request with places for ids in braces."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = {}
    body: Any = None

    def filled(self, ids: Mapping[str, str]) -> dict[str, Any]:
        """Return what httpx takes, with ``ids`` put in."""
        made: dict[str, Any] = {
            "method": self.method,
            "url": put_in(self.path, ids),
            "params": [(name, put_in(value, ids)) for name, value in self.query],
            "headers": dict(self.headers),
        }
        if self.body is not None:
            made["content"] = put_in(json.dumps(self.body), ids)
            made["headers"] = {"Content-Type": "application/json", **made["headers"]}
        return made


def put_in(text: str, ids: Mapping[str, str]) -> str:
    """Replace ``{name}`` by the id of that name."""
    for name, value in ids.items():
        text = text.replace("{" + name + "}", value)
    return text


def draw(random: Random, routes: Iterator[tuple[str, str]]) -> Crossing:
    """Draw a request to the data API, or to the next of ``routes`` (method and path with places)."""
    which = random.random()
    if which < 0.40:
        return draw_read(random)
    if which < 0.62:
        return draw_write(random)
    return draw_call(random) if which < 0.70 else draw_route(random, *next(routes))


def draw_filter(random: Random, table: str) -> tuple[str, str]:
    column, kind = random.choice(list(COLUMNS[table].items()))
    own = {"tenant": "{mine}", "project": "{my_project}", "task": "{my_task}", "user": "{me}"}.get(kind)
    value = "{" + kind + "}"
    shapes = [(column, f"eq.{value}"), (column, f"in.({value})"), (column, f"not.neq.{value}")]
    shapes.append(("or", f"({column}.eq.{value},{column}.is.null)"))
    shapes.append(("and", f"({column}.eq.{value},not.and({column}.is.null))"))
    if own is not None:
        shapes += [(column, f"in.({own},{value})"), ("or", f"({column}.eq.{value},{column}.eq.{own})")]
        shapes.append((column, f"eq(any).{{{value},{own}}}"))
    return random.choice(shapes)


def draw_headers(random: Random) -> dict[str, str]:
    headers = {}
    if random.random() < 0.3:
        headers["Accept"] = random.choice(ACCEPTS)
    if random.random() < 0.6:
        headers["Prefer"] = ",".join(random.sample(PREFERENCES, random.randint(1, 2)))
    if random.random() < 0.1:
        headers["Range"] = random.choice(("0-0", "0-9", "5-9"))
    return headers


def draw_read(random: Random) -> Crossing:
    table = random.choice(list(COLUMNS))
    query = [("select", random.choice(SELECTS[table]))]
    query += [draw_filter(random, table)] if random.random() < 0.9 else []
    if table == "projects" and "tasks(" in query[0][1] and random.random() < 0.5:
        query.append(("tasks.id", "eq.{task}"))
    if "tenants!inner" in query[0][1] and table == "projects" and random.random() < 0.5:
        query.append(("tenants.id", "eq.{tenant}"))
    if random.random() < 0.2:
        query.append(("limit", str(random.randint(0, 3))))
    if random.random() < 0.2:
        query.append(("offset", str(random.randint(0, 3))))
    method = "HEAD" if random.random() < 0.15 else "GET"
    return Crossing(method, f"/rest/v1/{table}", tuple(query), draw_headers(random))


def draw_write(random: Random) -> Crossing:
    table = random.choice(list(WRITES))
    method = random.choice(("POST", "POST", "PATCH", "PUT", "DELETE"))
    query: list[tuple[str, str]] = []
    body: Any = random.choice(WRITES[table])
    if method == "POST":
        body = [body, body] if random.random() < 0.2 else body
        query += [("on_conflict", "id")] if random.random() < 0.3 and table != "memberships" else []
    elif method == "PUT":
        key = "id" if "id" in COLUMNS[table] else "tenant_id"
        kind = COLUMNS[table][key]
        body = {**body, key: "{" + kind + "}"}
        query.append((key, "eq.{" + kind + "}"))
    else:
        column, kind = random.choice(list(COLUMNS[table].items()))
        query.append((column, random.choice(("eq.{%s}", "in.({%s})")) % kind))
        body = None if method == "DELETE" else body
    if random.random() < 0.5:
        query.append(("select", random.choice(SELECTS[table][:3])))
    return Crossing(method, f"/rest/v1/{table}", tuple(query), draw_headers(random), body)


def draw_call(random: Random) -> Crossing:
    name, arguments = random.choice(CALLS)
    if name in ("project_summary", "find_tasks", "demand_project") and random.random() < 0.5:
        return Crossing("GET", f"/rest/v1/rpc/{name}", tuple(arguments.items()), draw_headers(random))
    query = (("select", "*"),) if name == "find_tasks" else ()
    return Crossing("POST", f"/rest/v1/rpc/{name}", query, draw_headers(random), arguments)


def draw_route(random: Random, method: str, path: str) -> Crossing:
    query: tuple[tuple[str, str], ...] = ()
    if path.endswith("/token"):
        query = (("grant_type", random.choice(("password", "refresh_token", "pkce"))),)
    body = random.choice(BODIES) if method in ("POST", "PUT", "PATCH") else None
    if method == "GET" and random.random() < 0.3:
        query = (*query, random.choice((("email", "{email}"), ("user_id", "{user}"), ("filter", "{email}"))))
    return Crossing(method, path, query, {}, body)
