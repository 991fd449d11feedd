"""Hostile requests: what no client sends by accident, and some that clients do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from tests.application import anon_key, service_key

if TYPE_CHECKING:
    from random import Random

Headers = list[tuple[bytes, bytes]]


class Hostile(Struct, frozen=True):
    """A request as bytes; ``chunks`` is the body as it arrives, None that the client goes away."""

    method: str
    path: bytes
    query: bytes
    headers: Headers
    chunks: tuple[bytes | None, ...] = (b"",)


METHODS: Final = (
    *("GET",) * 8,
    "HEAD",
    *("POST",) * 4,
    "PATCH",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "X",
    "get",
)
PATHS: Final = (
    b"notes", b"own_orders", b"totals", b"customer_names", b"rpc/", b"rpc", b"", b"nothing", b"%00",
    b"%ff", b"..%2f..",
    b"a/b/c", b"%ed%a0%80", b"%c0%af", b"customers%00", b"customers/", b"%E2%82",
    b"'; drop table customers; --",
    b"pg_catalog.pg_class", b"%22customers%22", b"x" * 5000, b"\xff\xfe", b"%zz", b"%",
)  # fmt: skip
FAIR: Final = (
    (b"customers", b"select=*,orders(*,products(id,name)),notes(*)&orders.order=id.desc&orders.limit=2"),
    (b"customers", b"select=id,n:name,profile->>city::text,tags&id=in.(1,2,3)&order=name.desc.nullslast,id"),
    (b"orders", b"select=total.sum(),customer_id,count()&order=customer_id"),
    (b"customers",
    b"or=(id.eq.1,and(name.like.*a*,not.or(id.gt.2,profile->>city.is.null)))&limit=10&offset=1"),
    (b"orders", b"select=id,...customers(name)&customers.name=eq.Ada&customer_id=gt(any).{1,2}"),
    (b"orders", b"select=id,customers!inner(name)&order=customers(name).asc&id=not.is.null"),
    (b"products", b"select=*&name=fts(english).a&body=wfts.b&parent_id=is.null"),
    (b"vacations", b"during=ov.[2026-01-01,2026-02-01)&select=during"),
    (b"products", b"columns=id,name&on_conflict=id&select=id"),
    (b"customers", b"id=eq.50&select=id,name"),
    (b"_batch", b""),
    (b"rpc/add", b"a=1&b=2"),
    (b"rpc/echo", b"value=x"),
    (b"rpc/shop", b"select=id,orders(total)&name=like.A*&order=id&limit=2"),
    (b"rpc/anything", b""),
    (b"rpc/nothing", b""),
    (b"customers",
    b'profile=cs.{"city":"London"}&tags=cs.{vip}&owner=eq.00000000-0000-0000-0000-000000000001'),
    (b"customers", b"name=match.%5Ea&name=imatch.(a%7Cb)*&name=ilike(all).{*a*,*b*}"),
    (b"order_items", b"order_id=eq.10&product_id=eq.100&select=quantity"),
)  # fmt: skip
QUERIES: Final = tuple(query for _, query in FAIR)
TOKENS: Final = (
    b"%00", b"%ed%a0%80", b"%c0%af", b"%f0%9f%92%a9", b"%ff", b"%", b"%u0041", b"(", b")", b'"', b"%22",
    b"\\", b"%5C", b",",
    b".", b":", b"::", b"not.", b"not.not.", b"->", b"->>", b"->>-1", b"->9999999999", b"!inner", b"!",
    b"...", b"*", b"$1",
    b"'", b"';--", b"/*", b"{", b"}", b"[", b"]", b"&", b"=", b"==", b"+", b" ", b"\t", b"eq.", b"in.(",
    b"is.", b"fts().",
    b"(any)", b"count()", b".sum()", b"limit=9223372036854775807", b"&limit=-1",
    b"&offset=99999999999999999999",
    b"&limit=1e3", b"&select=", b"&order=", b"&and=", b"&or=()", b"&and=(", b"null", b"NaN", b"Infinity",
    b"9" * 400, b"\xc3\x28",
    b"::pg_class", b"::regclass", b"::xml", b"ctid", b"xmin", b"tableoid", b"orders.orders.orders.",
    b"a" * 100,
)  # fmt: skip
VALUES: Final[dict[bytes, tuple[bytes, ...]]] = {
    b"accept": (
        b"*/*", b"application/json", b"text/csv", b"application/vnd.pgrst.object+json",
        b"application/vnd.pgrst.plan+json",
        b"application/vnd.pgrst.array+json;nulls=stripped", b"text/html", b";;;,,,", b"a/b;q=x",
        b"\xff\xff", b"application/geo+json",
        b"application/octet-stream", b"text/plain", b"application/openapi+json", b"," * 3000, b"*/*;q=0",
    ),
    b"prefer": (
        b"count=exact", b"count=planned", b"count=estimated", b"return=representation",
        b"return=headers-only",
        b"resolution=merge-duplicates", b"resolution=ignore-duplicates", b"missing=default",
        b"handling=strict", b"tx=rollback",
        b"max-affected=1", b"max-affected=" + b"9" * 50, b"max-affected=-1", b"timezone=Mars/Base",
        b"timezone=';x", b"count=many",
        b"timezone=\xe9", b"=", b",,,", b"handling=strict, nonsense=1", b"max-affected=\xb2",
        b"etag", b"etag=1", b"respond-async", b"explain-denial", b"isolation=serializable, retry=2",
        b"isolation=x", b"retry=\xb2", b"etag, return=representation, tx=rollback",
    ),
    b"range": (b"0-1", b"5-2", b"-", b"a-b", b"0-" + b"9" * 40, b"items=0-1", b"bytes=0-1", b"\xb2-\xb3"),
    b"range-unit": (b"items", b"bytes", b""),
    b"accept-profile": (b"public", b"private", b"pg_catalog", b"", b"\xff", b"public\x00", b"public,private"),
    b"content-profile": (b"public", b"private", b"nothing", b"\xff"),
    b"content-type": (
        b"application/json", b"text/csv", b"application/x-www-form-urlencoded", b"text/plain",
        b"application/octet-stream", b"a",
        b"multipart/form-data", b"application/json; charset=utf-16", b"\xff",
    ),
    b"authorization": (
        b"Bearer " + service_key().encode(), b"Bearer " + anon_key().encode(), b"Bearer", b"Bearer a.b.c",
        b"Basic x", b"\xff",
        b"Bearer " + b"a" * 9000, b"Bearer eyJhbGciOiJub25lIn0.e30.", b"",
    ),
    b"apikey": (service_key().encode(), anon_key().encode(), b"nonsense", b"\x00", b"\xff" * 50),
    b"cookie": (b"a=b; c", b"=;=;", b"\xff=\xff", b"a=" + b"x" * 5000, b'a="\\303"'),
    b"content-length": (b"0", b"5", b"-1", b"x", b"99999999999999999999"),
    b"content-encoding": (b"gzip", b"br", b"nonsense"),
    b"transfer-encoding": (b"chunked", b"identity"),
    b"traceparent": (b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01", b"\xff", b"x"),
    b"x-forwarded-for": (b"127.0.0.1", b"\xff", b"a, b, c"),
    b"x-request-id": (b"\xff", b"a" * 3000, b"{}"),
    b"origin": (b"http://127.0.0.1", b"null", b"\xff"),
    b"if-none-match": (b'"x"', b"*", b'W/"p", "r"', b"\xff", b'"' * 500),
    b"if-match": (b'"r00"', b"*", b"", b"W/", b'"\xff"', b",,,"),
    b"idempotency-key": (b"one", b"two", b'"three"', b"", b"\xff", b"k" * 300, b"a b"),
    b"host": (b"127.0.0.1", b"", b"a b", b"\xff"),
    b"x\xffy": (b"z",),
}  # fmt: skip
BODIES: Final = (
    b"", b"{}", b"[]", b"[{}]", b"null", b"true", b"1", b'""', b'{"id": 1}',
    b'[{"id": 50, "name": "x"}, {"id": 51}]',
    b'{"id": 99, "name": "\\ud800"}', b'{"id": 98, "name": "\\u0000"}',
    b'{"id": 97, "name": "\\udc00\\ud800"}',
    b'{"id": 1e400}', b'{"id": NaN}', b'{"id": 123456789012345678901234567890}', b'{"id": {"a": [1, 2]}}',
    b'{"id": "x"}',
    b'{"a": 1, "b": 2}', b'{"a": "x"}', b'{"value": "x"}', b'{"a": 1, "a": 2}', b"[" * 50_000,
    b'{"a":' * 20_000, b"[1, 2, 3]",
    b'[{"id": 1}, 2]', b'{"' + b"x" * 500 + b'": 1}', b'{"": 1}', b'{"nothing": 1}', b"\xff\xfe\x00",
    b"\xef\xbb\xbf{}", b"{",
    b'{"id": 1}x', b"id,name\n1,x\n", b"id,name\n1\n", b'id,"na\nme\n', b"id\n\x00\n", b"\n\n", b",\n,\n",
    b"id=1&name=x",
    b"%00=%ff&=", b"a=1&b=2", b'{"id": 60, "name": "' + b"y" * 100_000 + b'"}', b'{"tags": [[1], [2, 3]]}',
    b'{"profile": 5, "id": 61}',
    json.dumps([{"id": 1000 + at, "name": "n"} for at in range(300)]).encode(),
)  # fmt: skip
BATCHES: Final = (
    b'[{"path":"/customers?select=id"},{"path":"/orders?customer_id=in.({$/0/*/id})"}]',
    (b'[{"method":"POST","path":"/customers?select=*","body":{"id":70,"name":"x"},"headers":{"Prefer":"return=representation"}},'
    b'{"method":"PATCH","path":"/customers?id=eq.{$/0/0/id}","body":{"name":{"$from":"/0/0/name"}}}]'),
    b'[{"path":"/customers","headers":{"If-Match":"*","Accept":"text/csv","Range":"x"}}]',
    b'[{"method":"DELETE","path":"/order_items?order_id=eq.10"},{"path":"/%00"}]',
    b'[{"path":"/customers?id=eq.{$/0/id}"}]', b'[{"path":"/a\\u0000"}]', b'[{"path":"/\\ud800"}]',
    b'[{"path":"/rpc/add?a=1&b=2"},{"path":"/rpc/echo","method":"POST","body":{"value":{"$from":"/0"}}}]',
    b'[{"path":"/","name":"a"},{"path":"/_batch","method":"POST","body":[]}]',
    b'[{"method":"POST","path":"/products","headers":{"Content-Type":"text/csv"},"body":"id,name\\n71,\\ud800"}]',
    json.dumps([{"path": "/products?limit=1"}] * 150).encode(),
)  # fmt: skip
BIG: Final = (
    b"id=in.(" + b",".join(b"%d" % at for at in range(10_000)) + b")",
    b"id=in.(" + b",".join(b"%d" % at for at in range(12_000)) + b")",
    b"name=in.(" + b'"' * 9999 + b")",
    b"or=" + b"(or" * 3000 + b"(id.eq.1" + b")" * 3001,
    b"and=(" + b"not.and(" * 31 + b"id.eq.1" + b")" * 32,
    b"or=(" + b",".join([b"id.eq.1"] * 501) + b")",
    b"or=(" + b",".join([b"id.eq.1"] * 500) + b")",
    b"select=" + b"orders(customers(" * 8 + b"id" + b"))" * 8,
    b"select=" + b"orders(customers(" * 9 + b"id" + b"))" * 9,
    b"select=" + b"a(" * 20_000,
    b"select=" + b",".join([b"id"] * 1001),
    b"select=" + b",".join(b"a%d:id" % at for at in range(1000)),
    b"select=" + b",".join(b"a%d:orders(id)" % at for at in range(64)),
    b"order=" + b",".join([b"id"] * 101),
    b"&".join([b"id=gt.0"] * 500),
    b"&".join([b"id=gt.0"] * 501),
    b"id=eq." + b"1" * 60_000,
    b"name=match." + b"(" * 2000 + b")" * 2000,
    b"name=match.(a*)*(a*)*(a*)*b",
    b"name=like." + b"%25" * 5000,
    b"profile=cs." + b"[" * 10_000,
    b"profile" + b"->a" * 2000 + b"=is.null",
    b"x=" + b"y" * 70_000,
    b"select=" + b"%28" * 3000,
    b"name=fts." + b"(" * 5000,
    b"body=fts." + b"a%26" * 4000 + b"a",
    b"tags=cs." + b"{" * 100,
    b"id=eq(any).{" + b"1," * 9000 + b"1}",
)  # fmt: skip


def draw(rng: Random) -> Hostile:
    """Make a request; half of the parts are as they should be, so that the others get somewhere."""
    name, query = rng.choice(FAIR)
    kind = rng.random()
    if kind < 0.02:
        query = rng.choice(BIG)
    elif kind < 0.65:
        query = mutate(rng, query)
    elif kind < 0.7:
        query = rng.randbytes(rng.randrange(60))
    if rng.random() < 0.1:
        name = mutate(rng, rng.choice(PATHS))
    method = rng.choice(METHODS)
    names = rng.choices(list(VALUES), k=rng.choice([0, 0, 1, 1, 3]))
    headers = [(header, rng.choice(VALUES[header])) for header in names]
    if rng.random() < 0.7:
        headers.append((b"authorization", VALUES[b"authorization"][0]))
    chunks: tuple[bytes | None, ...] = (b"",)
    if name == b"_batch" and rng.random() < 0.8:
        return Hostile("POST", b"/rest/v1/_batch", query, headers, (rng.choice(BATCHES),))
    if method not in ("GET", "HEAD") or rng.random() < 0.05:
        chunks = draw_chunks(rng)
        headers.append(
            (b"content-type", rng.choice((b"application/json",) * 4 + VALUES[b"content-type"][:3]))
        )
    return Hostile(method, b"/rest/v1/" + name, query, headers, chunks)


def draw_chunks(rng: Random) -> tuple[bytes | None, ...]:
    body = rng.choice(BODIES)
    if rng.random() < 0.3 and len(body) < 1000:
        body = mutate(rng, body)
    if rng.random() < 0.1:
        cut = rng.randrange(len(body) + 1)
        return (body[:cut], None if rng.random() < 0.5 else body[cut:])
    return (body,)


def mutate(rng: Random, text: bytes) -> bytes:
    """Change a few places of ``text``."""
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        at = rng.randrange(len(text) + 1)
        match rng.randrange(5):
            case 0:
                text = text[:at] + rng.choice(TOKENS) + text[at:]
            case 1:
                text = text[:at] + text[at + rng.randrange(1, 6) :]
            case 2:
                text = text[:at] + rng.randbytes(1) + text[at + 1 :]
            case 3:
                text += b"&" + rng.choice(QUERIES)
            case _:
                cut = rng.randrange(len(text) + 1)
                text = text[:at] + text[min(at, cut) : max(at, cut)] + text[at:]
    return text
