"""A clinic whose nurses see some columns alone, and requests of every kind to ask it for the others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from tests.integration.rbac.staff import Staff

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    import httpx

    from tests.application import Served
    from tests.integration.auth.people import Person

CLINIC = (Path(__file__).parent / "clinic.sql").read_text(encoding="utf-8")

RULES: Final[dict[str, dict[str, list[str]]]] = {
    "patients": {
        "read": ["id", "name", "ward", "doctor_id", "label"],
        "write": ["id", "name", "ward", "doctor_id"],
    },
    "staff": {"read": ["id", "login"]},
    "visits": {"read": ["patient_id", "staff_id"]},
    "cards": {"read": ["owner_id", "colour"]},
}
HIDDEN: Final = ("insurance_no", "mentor_id", "diary", "number_of", "pin", "mood", "serial")
SECRET: Final = "TOP-"
"""What every hidden value begins with."""


class Clinic:
    """A running application with a nurse."""

    def __init__(self, served: Served) -> None:
        self.staff = Staff(served)
        self.client = served.client
        self.nurse: Mapping[str, str] = {}

    async def open(self) -> Person:
        """Limit the role ``nurse`` and hire one."""
        await self.staff.made("/roles", name="nurse")
        for relation, rule in RULES.items():
            await self.limit("nurse", relation, **rule)
        person = await self.staff.hired("nurse")
        self.nurse = person.bearer
        return person

    async def limit(self, role: str, relation: str, **rule: Any) -> dict[str, Any]:
        answer = await self.staff.call("PUT", f"/roles/{role}/columns/public/{relation}", rule)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def ask(
        self, method: str, path: str, by: Mapping[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        """Ask as the nurse, or as ``by``."""
        headers = {**(self.nurse if by is None else by), **more.pop("headers", {})}
        return await self.client.request(method, f"/rest/v1/{path}", headers=headers, **more)

    async def told(self, method: str, path: str, **more: Any) -> str:
        """Return all that an answer says."""
        return said(await self.ask(method, path, **more))


def said(answer: httpx.Response) -> str:
    """Return status, headers and body of an answer, but for what differs each time."""
    own = ("x-request-id", "traceparent", "date", "server-timing")
    headers = sorted(f"{name}: {value}" for name, value in answer.headers.items() if name not in own)
    return "\n".join([str(answer.status_code), *headers, answer.text])


class Asked(Struct):
    """A request to the data API."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any = None

    @property
    def names(self) -> tuple[str, ...]:
        """The hidden columns that it names."""
        text = f"{self.path} {self.body}"
        return tuple(name for name in HIDDEN if name in text)

    def with_others(self) -> Asked:
        """Return the same with names that nothing has, in the places of the hidden ones."""
        body = {_other(name): value for name, value in self.body.items()} if self.body else self.body
        return Asked(self.method, _other(self.path), self.headers, body)


def _other(text: str) -> str:
    for name in HIDDEN:
        text = text.replace(name, other_name(name))
    return text


def other_name(name: str) -> str:
    """Return a name that nothing has, as long as this one and much like it."""
    return f"{name[:-1]}q"


_COLUMNS: Final = {
    "patients": (*RULES["patients"]["read"], "insurance_no", "mentor_id", "diary", "number_of", "nothing"),
    "staff": ("id", "login", "pin"),
    "visits": ("patient_id", "staff_id", "mood"),
    "cards": ("owner_id", "colour", "serial"),
}
_EMBEDS: Final = {
    "patients": (
        *("doctor:staff!doctor_id", "staff!visits", "staff!mentor_id", "mentor_id", "staff"),
        *("visits", "cards", "neighbours"),
    ),
    "staff": ("patients!doctor_id", "patients!mentor_id", "visits", "patients", "patients!visits"),
    "visits": ("patients", "staff"),
    "cards": ("patients", "owner_id"),
}
_TARGETS: Final = {"doctor": "staff", "mentor_id": "staff", "neighbours": "patients", "owner_id": "patients"}
_ACCEPTS: Final = (
    *("application/json", "application/json", "application/json", "text/csv"),
    *("application/vnd.pgrst.object+json", "application/vnd.pgrst.plan+json; options=verbose"),
)
_PREFERS: Final = (
    *("", "return=representation", "return=headers-only", "count=exact", "resolution=merge-duplicates"),
    *("return=representation,resolution=ignore-duplicates", "explain-denial", "count=estimated"),
    *("return=representation,missing=default", "handling=strict"),
)


def any_request(random: Random) -> Asked:
    """Return some request; about half of them name a column that is hidden."""
    relation = random.choice(tuple(_COLUMNS))
    method = random.choice(("GET", "GET", "GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"))
    if method in ("GET", "HEAD") and random.random() < 0.2:
        relation, path = "patients", random.choice(("rpc/find_patients?word=a", "rpc/one_patient?wanted=1"))
    else:
        path = f"{relation}?"
    parts = [f"select={_select(random, relation)}"] if random.random() < 0.8 else []
    parts += [_filter(random, relation) for _ in range(random.randrange(2))]
    if random.random() < 0.3:
        parts.append(f"order={_order(random, relation)}")
    body = None
    if method in ("POST", "PATCH", "PUT"):
        body = {name: _value(random, name) for name in _some(random, relation)}
        if method == "POST" and relation == "patients" and random.random() < 0.7:
            body |= {name: _value(random, name) for name in ("id", "name")}
        if random.random() < 0.2:
            parts.append("on_conflict=" + ",".join(_some(random, relation)))
        if random.random() < 0.2:
            parts.append("columns=" + ",".join(_some(random, relation)))
    if method in ("PATCH", "DELETE", "PUT"):
        parts.append("id=eq.99" if relation in ("patients", "staff") else "patient_id=eq.99")
    headers = {"Accept": random.choice(_ACCEPTS), "Prefer": random.choice(_PREFERS)}
    return Asked(method, path + ("&" if "=" in path else "") + "&".join(parts), headers, body)


def _some(random: Random, relation: str) -> list[str]:
    return random.sample(_COLUMNS[relation], random.randrange(1, 3))


def _value(random: Random, name: str) -> Any:
    return random.randrange(50, 60) if name == "id" or name.endswith("_id") else "x"


def _select(random: Random, relation: str, depth: int = 0) -> str:
    items: list[str] = []
    for _ in range(random.randrange(1, 4)):
        column = random.choice(_COLUMNS[relation])
        items.append(
            random.choice(
                ("*", column, column, f"{column}::text", f"n:{column}", f"{column}->>k", f"{column}.max()")
            )
        )
    if random.random() < 0.5 and depth < 2:
        embed = random.choice(_EMBEDS[relation])
        target = _TARGETS.get(embed.partition(":")[0], embed.partition("!")[0].rpartition(":")[2])
        spread = "..." if random.random() < 0.2 else ""
        items.append(f"{spread}{embed}({_select(random, target, depth + 1)})")
    return ",".join(items)


def _filter(random: Random, relation: str) -> str:
    column = random.choice(_COLUMNS[relation])
    return random.choice(
        (
            *(f"{column}=is.null", f"{column}=not.is.null", f"{column}=eq.1", f"{column}->>k=eq.1"),
            *(f"or=({column}.is.null,{column}.not.is.null)", f"{column}=in.(1,2)", f"{column}=like.T*"),
        )
    )


def _order(random: Random, relation: str) -> str:
    column = random.choice(_COLUMNS[relation])
    return random.choice((column, f"{column}.desc.nullslast", f"{column}->k", f"doctor({column})"))
