"""The parts of the OpenAPI document that are the same for every schema and caller."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

Object: TypeAlias = dict[str, Any]

_ETAG: Final = r'(?:W\/)?"[!#-~]*"'
_TAGS: Final = rf"^(?:\*|{_ETAG}(?:, ?{_ETAG}){{0,9}})$"
_TAG: Final = '"r1f6c0a"'
_CURSOR: Final = "^[A-Za-z0-9_-]{0,4096}$"

SECURITY: Final[dict[str, Object]] = {
    "apikey": {
        "type": "apiKey",
        "in": "header",
        "name": "apikey",
        "description": "An API key: the anonymous one, the service key, or one of the project's own.",
    },
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The access token of a signed-in user, beside the key or instead of it.",
    },
}


def _header(name: str, text: str, **schema: Any) -> Object:
    return {"name": name, "in": "header", "description": text, "schema": {"type": "string", **schema}}


_COUNT: Final = (
    "`count=exact`, `count=planned` or `count=estimated` has the total in Content-Range. "
    "`timezone=Europe/Berlin` sets the time zone. `handling=strict` refuses what is not understood."
)
_RETURN: Final = (
    "`return=representation` answers with the rows, `return=headers-only` with where they are, "
    "`return=minimal` with nothing. `missing=default` gives keys that a row lacks their defaults. "
)
_ETAG_WISH: Final = "`etag` has the answer's ETag. "
_AFFECTED: Final = "`max-affected=10` with `handling=strict` refuses to change more rows. "

PARAMETERS: Final[dict[str, Object]] = {
    "limit": {
        "name": "limit",
        "in": "query",
        "description": "Most rows. The server may have a ceiling of its own.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 999_999_999, "examples": [20]},
    },
    "offset": {
        "name": "offset",
        "in": "query",
        "description": "Rows to leave out; below zero counts as zero.",
        "schema": {"type": "integer", "minimum": -999_999_999, "maximum": 999_999_999},
    },
    "cursor": {
        "name": "cursor",
        "in": "query",
        "description": "Where a page begins, as Link says it; without a value the first page. "
        "Not together with offset or Range. A cursor belongs to filters, order and role.",
        "schema": {"type": "string", "pattern": _CURSOR},
    },
    "Cursor": _header(
        "Cursor", "The same as the parameter cursor, which wins, for clients without it.", pattern=_CURSOR
    ),
    "Range": _header(
        "Range", "Rows from and to, from 0 on: `0-19`. Together with limit and offset.", examples=["0-19"]
    ),
    "Range-Unit": _header("Range-Unit", "The unit of Range.", default="items"),
    "Prefer.read": _header(
        "Prefer",
        f"`pagination=cursor` has Link lead to the pages before and after. {_ETAG_WISH}{_COUNT}",
        examples=["count=exact"],
    ),
    "Prefer.insert": _header(
        "Prefer",
        f"{_RETURN}`resolution=merge-duplicates` updates rows that are there, "
        "`resolution=ignore-duplicates` leaves them. `nested=insert` and `nested=upsert` take rows of "
        f"related tables in the body, under the names of relationships. {_COUNT}",
        examples=["return=representation"],
    ),
    "Prefer.update": _header(
        "Prefer", f"{_RETURN}{_AFFECTED}{_ETAG_WISH}{_COUNT}", examples=["return=representation"]
    ),
    "Prefer.delete": _header("Prefer", f"{_RETURN}{_AFFECTED}{_COUNT}", examples=["return=representation"]),
    "Prefer.call": _header(
        "Prefer",
        f"`respond-async` has the call made later and answers at once. {_COUNT}",
        examples=["count=exact"],
    ),
    "Prefer.batch": _header(
        "Prefer",
        "`isolation=serializable` or `isolation=repeatable-read`; `retry=3` begins anew what met another.",
        examples=["isolation=serializable, retry=3"],
    ),
    "Idempotency-Key": _header(
        "Idempotency-Key",
        "A name for this request: whoever sends it again gets the stored answer, and nothing is done twice.",
        pattern=r"^[!#-~](?:[ -~]{0,253}[!#-~])?$",
    ),
    "If-Match": _header(
        "If-Match",
        "Go on only if the rows are what this tag says; otherwise 412.",
        pattern=_TAGS,
        examples=[_TAG],
    ),
    "If-None-Match": _header(
        "If-None-Match",
        "The tag of an answer that is known already: 304 if it still holds, and for writes 412.",
        pattern=_TAGS,
        examples=[_TAG],
    ),
    "If-None-Match.document": _header(
        "If-None-Match",
        "The tag of a document that is known already.",
        pattern=_TAGS,
        examples=[_TAG],
    ),
}

HEADERS: Final[dict[str, Object]] = {
    "Content-Range": {
        "description": "First and last row, and the total where it was asked for: `0-19/480`.",
        "schema": {"type": "string"},
    },
    "Content-Location": {
        "description": "The request in its canonical form.",
        "schema": {"type": "string"},
    },
    "Location": {"description": "Where the new row is.", "schema": {"type": "string"}},
    "Link": {
        "description": (
            "The pages beside this one, for `Prefer: pagination=cursor`: "
            '`<?limit=20&cursor=AQx…>; rel="next"`.'
        ),
        "schema": {"type": "string"},
    },
    "Cache-Status": {
        "description": "Whether the answer came from the cache, for cached tables (RFC 9211).",
        "schema": {"type": "string"},
    },
    "Preference-Applied": {"description": "What of Prefer was done.", "schema": {"type": "string"}},
    "ETag": {"description": "The version of what was answered.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "How to say who asks.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
}

SCHEMAS: Final[dict[str, Object]] = {
    "Error": {
        "description": "A refusal. `code` is stable: `PGRST…`, `MH…`, or a SQLSTATE of PostgreSQL.",
        "type": "object",
        "properties": {
            "code": {"type": "string", "description": "What to program against."},
            "message": {"type": "string", "description": "What went wrong, for people."},
            "details": {"description": "More of it: a text, or the candidates of an ambiguous request."},
            "hint": {"type": ["string", "null"], "description": "What to do."},
        },
        "required": ["code", "message"],
        "examples": [
            {
                "code": "PGRST100",
                "details": "unexpected end of input expecting operator",
                "hint": None,
                "message": '"failed to parse filter (eq)" (line 1, column 3)',
            }
        ],
    },
    "Selected": {
        "description": "What `select` chose: columns under their aliases, embedded relations, aggregates.",
        "type": "object",
    },
    "BatchStep": {
        "description": 'One request. `{"$from": "/name/0/id"}` in its body is a value of an earlier answer.',
        "type": "object",
        "properties": {
            "path": {
                "type": "string",
                "pattern": "^/[^/?#]",
                "maxLength": 16384,
                "description": "Below the address of the API, with its query.",
            },
            "method": {
                "type": "string",
                "enum": ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"],
                "default": "GET",
            },
            "name": {
                "type": "string",
                "pattern": "^[A-Za-z_][A-Za-z0-9_-]*$",
                "maxLength": 63,
                "description": "What later steps call it.",
            },
            "headers": {
                "type": "object",
                "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9-]*$"},
                "additionalProperties": {"type": "string", "pattern": "^[ -~]*$"},
                "description": "Its own, beside those of the batch that say who asks.",
            },
            "body": {"description": "JSON, or the text of another media type."},
        },
        "required": ["path"],
        "additionalProperties": False,
    },
    "BatchAnswer": {
        "description": "What a step was answered.",
        "type": "object",
        "properties": {
            "status": {"type": "integer"},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "body": {},
            "encoding": {"const": "base64", "description": "The body is bytes."},
        },
        "required": ["status", "headers", "body"],
    },
}


def _refusal(text: str, *headers: str) -> Object:
    answer: Object = {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    if headers:
        answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return answer


RESPONSES: Final[dict[str, Object]] = {
    "204": {
        "description": "Done, or there was nothing to do it to.",
        "headers": {
            name: {"$ref": f"#/components/headers/{name}"}
            for name in ("Content-Range", "Preference-Applied", "ETag")
        },
    },
    "created": {
        "description": (
            "The rows are there; 200 when all of them were. With `Prefer: return=representation` they are in "
            "the body, as GET gives them; else it is empty."
        ),
        "headers": {
            name: {"$ref": f"#/components/headers/{name}"}
            for name in ("Location", "Content-Range", "Preference-Applied", "ETag")
        },
    },
    "304": {
        "description": "What the client knows still holds.",
        "headers": {"ETag": {"$ref": "#/components/headers/ETag"}},
    },
    "400": _refusal(
        "The request does not fit: its query (`PGRST100`), its cursor (`MH120` to `MH123`), its body "
        "(`PGRST102`, `MH116`, `MH119`), an unknown column (`PGRST204`), a value of the wrong type "
        "(`22P02`), a constraint (`23502`, `23514`), or a function refused it (`P0001`)."
    ),
    "401": _refusal(
        "A credential is missing (`PGRST302`) or does not hold (`PGRST301`, `PGRST303`).", "WWW-Authenticate"
    ),
    "403": _refusal(
        "The caller may not: grants and policies (`42501`), the key's scopes (`MH103`), closed tables "
        "(`MH100`), columns (`MH104`), what a request may cost (`MH124` to `MH126`)."
    ),
    "404": _refusal("There is no such table (`PGRST205`) or function (`PGRST202`)."),
    "406": _refusal(
        "Not one row where one was wanted (`PGRST116`), an unknown media type (`PGRST107`) or schema "
        "(`PGRST106`)."
    ),
    "409": _refusal(
        "In conflict with other rows (`23505`, `23503`), or the same Idempotency-Key is being answered "
        "(`MH106`)."
    ),
    "412": _refusal("The rows are not what If-Match or If-None-Match say."),
    "416": _refusal("There is no such range of rows (`PGRST103`)."),
    "422": _refusal(
        "The Idempotency-Key belongs to another request (`MH107`), or its answer is too large (`MH108`)."
    ),
    "default": _refusal(
        "Refused: a method that is not there (405), too many requests (429), a fault (500), no database "
        "(503), no time (504).",
        "Retry-After",
    ),
}

BATCH: Final[Object] = {
    "post": {
        "operationId": "batch",
        "tags": ["Transactions"],
        "summary": "Several requests in one transaction",
        "description": "The steps run in order, each as if sent by itself; all take effect or none.",
        "parameters": [
            {"$ref": "#/components/parameters/Prefer.batch"},
            {"$ref": "#/components/parameters/Idempotency-Key"},
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/BatchStep"},
                        "minItems": 1,
                    }
                }
            },
        },
        "responses": {
            "200": {
                "description": "What each step was answered.",
                "content": {
                    "application/json": {
                        "schema": {"type": "array", "items": {"$ref": "#/components/schemas/BatchAnswer"}}
                    }
                },
            },
            **{
                status: {"$ref": f"#/components/responses/{status}"}
                for status in ("400", "401", "403", "404", "406", "409", "412", "422", "default")
            },
        },
    }
}
